#include "results/check/audit.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "scenarios/plan/floor.hpp"

namespace portolan::check {

using record::Kind;
using record::Row;

namespace {

constexpr Ns kRowsEnd = 1'500'000'000;    // counters are written each second, and at the end
constexpr Ns kPeerGone = 15'000'000'000;  // by then a broker has noticed that a peer is dead, and said so

// What one audit file says, summed up.
struct Book {
  std::map<std::pair<std::string, std::uint32_t>, std::uint64_t> counters;  // last values
  std::map<std::string, Mark> marks;
  std::map<std::uint64_t, std::vector<Range>> packets;  // by session
  Ns last = 0;                                          // of its rows
  std::uint64_t packet_count = 0, verdicts = 0, splits = 0, detached = 0, traces = 0;
  TraceOf trace;
  struct Peer {
    std::uint64_t uid = 0;
    std::uint32_t incarnation = 0;
    bool up = false;
    Ns since = 0;
  };
  std::map<std::uint64_t, Peer> peers;
};

class AuditJudge {
 public:
  AuditJudge(const RunFiles& run, const Timeline& timeline, Ledger& ledger, const std::vector<Subscriber>& subscribers,
             Judgement& judgement)
      : run_(run), timeline_(timeline), ledger_(ledger), subscribers_(subscribers), judgement_(judgement) {}
  Audit judge();

 private:
  Book read(const RecordFile& file);
  void peer(const RecordFile& file, const Row& row, Book& book);
  void split(const RecordFile& file, const Row& row);
  void judge_packets(const RecordFile& file, Book& book);
  void judge_counters(const RecordFile& file, const Book& book);
  void judge_client(const RecordFile& file, const Book& book, const Subscriber& s);
  void judge_peers(const RecordFile& file, const Book& book);
  void judge_gaps();
  void judge_clocks();
  void read_runner();
  void judge_splits();
  void absent(const RecordFile& file, const char* what);

  const RunFiles& run_;
  const Timeline& timeline_;
  Ledger& ledger_;
  const std::vector<Subscriber>& subscribers_;
  Judgement& judgement_;
  Audit audit_;
  std::map<Index, std::map<std::uint32_t, std::uint64_t>> gaps_told_;  // broker -> reason -> messages, all incarnations
  std::map<std::pair<Index, Index>, Ns> floors_;
};

void AuditJudge::absent(const RecordFile& file, const char* what) {
  if (file.whole) judgement_.undecided(Rule::records, "audit rows missing", file.name, what);
}

void AuditJudge::peer(const RecordFile& file, const Row& row, Book& book) {
  Book::Peer& p = book.peers[row.publisher];
  const bool up = row.kind == static_cast<std::uint16_t>(Kind::peer_up);
  if (up && p.up && p.uid != row.hash) {
    judgement_.undecided(
        Rule::records, "peer_down rows missing", file.name,
        fmt::format("row {}: a second session with {} while the first is up", row.number, row.publisher));
  }
  if (!up && !p.up && p.uid != row.hash) {
    judgement_.undecided(Rule::records, "peer_up rows missing", file.name,
                         fmt::format("row {}: a session with {} ends that never began", row.number, row.publisher));
  }
  p = {row.hash, row.incarnation, up, file.time(row)};
}

// Parts sum to the latency, and the floor is the checker's own.
void AuditJudge::split(const RecordFile& file, const Row& row) {
  const Index tenant = run_.plan.processes[file.process()].tenant;
  const Index topic = ledger_.topic_of(tenant, file.reader.text(row.topic));
  const Index publisher = ledger_.client_of(tenant, row.publisher);
  const Sent* sent =
      topic == plan::kNone || publisher == plan::kNone ? nullptr : ledger_.find(publisher, topic, row.incarnation);
  const Message* m = sent == nullptr ? nullptr : sent->find(row.sequence);
  if (m == nullptr || !m->offered) {
    judgement_.undecided(Rule::records, "split of a message that was not published", file.name,
                         fmt::format("row {}", row.number));
    return;
  }
  const Ns sum = row.intended_ns + row.sent_ns + static_cast<Ns>(row.hash) + static_cast<Ns>(row.value) +
                 static_cast<Ns>(row.last) + row.extra;
  if (sum != file.time(row) - m->intended) {
    judgement_.fail(Rule::rule11, "parts of a latency do not sum to it", file.name,
                    fmt::format("row {}: parts {} ns, latency {}", row.number, sum, file.time(row) - m->intended));
  }
  const auto pair = std::pair(run_.plan.processes[publisher].node, run_.plan.processes[file.process()].node);
  const auto [at, fresh] = floors_.try_emplace(pair, 0);
  if (fresh) {
    at->second = plan::floor_ns(run_.plan.harbours[run_.plan.nodes[pair.first].harbour],
                                run_.plan.harbours[run_.plan.nodes[pair.second].harbour]);
  }
  if (static_cast<Ns>(row.code) != at->second) {
    judgement_.fail(Rule::rule11, "a split's floor is not the map's", file.name,
                    fmt::format("row {}: {} ns, the map says {}", row.number, row.code, at->second));
  }
}

Book AuditJudge::read(const RecordFile& file) {
  Book book;
  const bool client = run_.plan.processes[file.process()].kind == plan::ProcessKind::client;
  file.reader.for_each([&](const Row& row) {
    book.last = std::max(book.last, file.time(row));
    switch (static_cast<Kind>(row.kind)) {
      case Kind::packets:
        if (row.last < row.sequence) {
          judgement_.undecided(Rule::records, "packets that end before they begin", file.name,
                               fmt::format("row {}", row.number));
          break;
        }
        book.packets[row.hash].push_back({row.sequence, row.last});
        book.packet_count += row.last - row.sequence + 1;
        if (row.value != static_cast<std::uint64_t>(row.extra)) {
          judgement_.fail(Rule::rule7, "kernel marks and new window bits differ", file.name,
                          fmt::format("row {}: {} bits, {} marks", row.number, row.value, row.extra),
                          Invariant::duplicate);
        }
        break;
      case Kind::verdict:
        ++book.verdicts;
        if (row.code == record::kVerdictOverCredit) {  // a sender of ours does not do that
          judgement_.fail(Rule::rule8, "sent over its credit", file.name,
                          fmt::format("row {}: session {:016x} packet {}", row.number, row.hash, row.sequence));
        }
        break;
      case Kind::counter: {
        std::uint64_t& value = book.counters[{std::string(file.reader.text(row.text)), row.code}];
        const bool level = file.reader.text(row.text).starts_with("retained_");
        if (row.value < value && !level) {
          judgement_.fail(
              Rule::rule11, "a counter went back", file.name,
              fmt::format("row {}: {} from {} to {}", row.number, file.reader.text(row.text), value, row.value));
        }
        value = row.value;
        break;
      }
      case Kind::high_water: {
        const std::string name(file.reader.text(row.text));
        Mark& mark = book.marks[name];
        if (row.value > row.sequence) {
          judgement_.fail(Rule::rule8, "over its bound", file.name,
                          fmt::format("row {}: {} used {} of {}", row.number, name, row.value, row.sequence));
        }
        if (row.value >= mark.used) mark = {run_.process_name(file.process()), name, row.value, row.sequence};
        break;
      }
      case Kind::split:
        ++book.splits;
        if (client) split(file, row);
        break;
      case Kind::peer_up:
      case Kind::peer_down:
        peer(file, row, book);
        break;
      case Kind::detached:
        ++book.detached;
        break;
      case Kind::trace:
        ++book.traces;
        book.trace = {file.process(), file.incarnation(), row.hash, row.value};
        break;
      default:
        break;
    }
  });
  return book;
}

// 7: no packet number twice in a session.
void AuditJudge::judge_packets(const RecordFile& file, Book& book) {
  for (auto& [session, ranges] : book.packets) {
    std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
    for (std::size_t i = 1; i < ranges.size(); ++i) {
      if (ranges[i].first > ranges[i - 1].last) continue;
      judgement_.fail(Rule::rule7, "packet number accepted twice", file.name,
                      fmt::format("session {:016x}: packet {}", session, ranges[i].first), Invariant::duplicate);
      ranges[i].last = std::max(ranges[i].last, ranges[i - 1].last);
    }
  }
  audit_.packets += book.packet_count;
  audit_.verdicts += book.verdicts;
}

void AuditJudge::judge_counters(const RecordFile& file, const Book& book) {
  const auto value = [&](const char* name) -> const std::uint64_t* {
    const auto at = book.counters.find({name, 0u});
    return at == book.counters.end() ? nullptr : &at->second;
  };
  if (book.counters.empty()) return absent(file, "no counter rows");
  if (book.marks.empty()) absent(file, "no high_water rows");
  for (const char* bounded : {"session.credit_bytes", "session.repair_bytes"}) {
    if (!book.marks.contains(bounded)) absent(file, bounded);
  }
  if (book.traces != 1) absent(file, "not one trace row");
  if (value("datagrams_in") == nullptr) absent(file, "no counter datagrams_in");
  const auto agree = [&](const char* name, std::uint64_t rows, const char* what) {
    const std::uint64_t* counted = value(name);
    if (counted == nullptr) return absent(file, name);
    if (*counted != rows && file.whole) {
      judgement_.undecided(Rule::records, "rows missing", file.name,
                           fmt::format("{} {} rows, the host counted {}", rows, what, *counted));
    }
  };
  const Life* life = timeline_.life(file.process(), file.incarnation());
  if (life != nullptr && life->to != kNever && book.last + kRowsEnd < life->to) {
    judgement_.undecided(Rule::records, "audit rows end before their process did", file.name,
                         fmt::format("last row at {} ns, the process stopped at {}", book.last, life->to));
  }
  agree("packets_accepted", book.packet_count, "packet numbers in packets");
  agree("verdicts", book.verdicts, "verdict");
  if (run_.plan.processes[file.process()].kind == plan::ProcessKind::broker)
    agree("detached", book.detached, "detached");
}

// R3 and 11: what the engine counted is what the application saw.
void AuditJudge::judge_client(const RecordFile& file, const Book& book, const Subscriber& s) {
  const auto rows = [&](Kind kind) { return s.rows[static_cast<std::size_t>(kind)]; };
  std::uint64_t on_the_spot = 0;
  for (const Sent& sent : ledger_.sent()) {
    if (sent.process == s.process && sent.incarnation == s.incarnation) on_the_spot += sent.refused_on_the_spot;
  }
  const auto value = [&](const char* name) -> std::uint64_t {
    const auto at = book.counters.find({name, 0u});
    if (at != book.counters.end()) return at->second;
    absent(file, name);
    return 0;
  };
  const bool whole = file.whole && s.whole;
  const auto agree = [&](Rule rule, const char* name, std::uint64_t counted_rows) {
    const std::uint64_t counted = value(name);
    if (counted == counted_rows || !whole) return;
    judgement_.fail(rule, "counter and rows differ", file.name,
                    fmt::format("{}: the engine counted {}, the application has {} rows", name, counted, counted_rows));
  };
  agree(Rule::rule11, "published", rows(Kind::publish) - on_the_spot);
  agree(Rule::rule11, "accepted", rows(Kind::accepted));
  agree(Rule::rule11, "received", rows(Kind::received));
  agree(Rule::rule11, "delivered", rows(Kind::deliver));
  agree(Rule::r3, "gaps", rows(Kind::gap));
  agree(Rule::r3, "gap_messages", s.closed_gap_messages);
  const std::uint64_t unsplit = value("unsplit");
  audit_.splits += book.splits;
  audit_.unsplit += unsplit;
  if (book.splits + unsplit != rows(Kind::deliver) && whole) {
    judgement_.undecided(
        Rule::records, "split rows missing", file.name,
        fmt::format("{} rows and {} without, {} deliveries", book.splits, unsplit, rows(Kind::deliver)));
  }
}

// Each configured peer was met, unless the timeline kept them apart, and its death was noticed.
void AuditJudge::judge_peers(const RecordFile& file, const Book& book) {
  const Index me = file.process();
  const Life* life = timeline_.life(me, file.incarnation());
  if (life == nullptr || !file.whole) return;
  const Ns close = life->to == kNever ? timeline_.end() : life->to;
  for (const Index peer : run_.plan.processes[me].peers) {
    const auto at = book.peers.find(run_.plan.processes[peer].id);
    Ns quiet_since = life->from;
    bool away = false;
    for (const Interval& i : timeline_.session(me, peer)) {
      if (i.from < close && i.to > quiet_since) quiet_since = i.to;
      away = away || (i.from < close && i.to >= close);
    }
    if (at == book.peers.end()) {
      if (!away && close - quiet_since > run_.plan.settle_ns) {
        judgement_.undecided(
            Rule::records, "peer_up rows missing", file.name,
            fmt::format("no session with {} in {} ms", run_.process_name(peer), (close - life->from) / 1'000'000));
      }
      continue;
    }
    const Life* theirs = timeline_.life(peer, at->second.incarnation);
    if (at->second.up && theirs != nullptr && theirs->died() && theirs->to + kPeerGone < close) {
      judgement_.undecided(
          Rule::records, "peer_down rows missing", file.name,
          fmt::format("{} incarnation {} is dead and still up", run_.process_name(peer), theirs->incarnation));
    }
  }
}

// R3 across processes: what the clients of a broker were told, by reason, its engine counted, message by message; and
// what it counted was told. Publisher_lost is made by the library itself, from the ALIAS of a new incarnation. A GAP
// that was under way when a session or a client died is told again, or never: then more may be counted than was heard.
void AuditJudge::judge_gaps() {
  struct Heard {
    std::map<std::uint32_t, std::uint64_t> messages;
    bool steady = true;  // no client of it died, or lost its session
    bool whole = true;
  };
  std::map<Index, Heard> heard;
  for (const Subscriber& s : subscribers_) {
    Heard& of = heard[run_.plan.processes[s.process].broker];
    for (const auto& [reason, messages] : s.gap_messages) of.messages[reason] += messages;
    of.steady = of.steady && s.life != nullptr && !s.life->died() && s.sessions_lost == 0;
    of.whole = of.whole && s.whole;
  }
  for (const auto& [broker, reasons] : gaps_told_) {
    for (const auto& [reason, told] : reasons) heard[broker].messages.try_emplace(reason, 0);
  }
  constexpr auto by_library = static_cast<std::uint32_t>(record::GapCode::publisher_lost);  // which tells it itself
  for (const auto& [broker, of] : heard) {
    const bool whole = of.whole && std::all_of(timeline_.lives(broker).begin(), timeline_.lives(broker).end(),
                                               [&, b = broker](const Life& life) {
                                                 return run_.whole(record::Writer::audit, b, life.incarnation);
                                               });
    if (!whole) continue;
    for (const auto& [reason, messages] : of.messages) {
      const std::uint64_t told = gaps_told_[broker][reason];
      const std::string example = fmt::format("reason {}: its clients were told {} messages, gaps_told/{} is {}",
                                              reason, messages, reason, told);
      if (messages > told && reason != by_library) {
        judgement_.fail(Rule::r3, "gap without its counter", run_.process_name(broker), example);
      } else if (told > messages && of.steady) {
        judgement_.fail(Rule::r3, "counter without its gap", run_.process_name(broker), example);
      }
    }
  }
}

void AuditJudge::read_runner() {
  if (run_.runner == nullptr) return;
  const record::RecordReader& reader = run_.runner->reader;
  bool trace = false;
  reader.for_each([&](const Row& row) {
    const std::string text(reader.text(row.text));
    if (row.kind == static_cast<std::uint16_t>(Kind::link_counters)) audit_.links[text] = row.value;
    if (row.kind == static_cast<std::uint16_t>(Kind::fidelity)) {
      const auto way = text.find('=');
      if (way == std::string::npos) {
        audit_.fidelity[text] = row.value;
      } else if (const std::string key = text.substr(0, way);
                 key == "runner" || key == "fidelity" || key == "reassembly") {
        audit_.ran[key] = text.substr(way + 1);
      }
    }
    if (row.kind == static_cast<std::uint16_t>(Kind::trace)) {
      trace = true;
      audit_.run_trace = row.hash;
    }
  });
  if (audit_.fidelity.empty()) absent(*run_.runner, "no fidelity rows");
  if (!trace) absent(*run_.runner, "no trace row");
  for (const plan::Link& link : run_.plan.links) {
    if (link.model == "veth") continue;
    for (const char* way : {"/a_to_b/", "/b_to_a/"}) {
      for (const char* what : {"packets", "bytes"}) {
        if (!audit_.links.contains(link.name + way + what)) absent(*run_.runner, "link_counters rows missing");
      }
    }
  }
}

// In virtual time there is one clock and it is exact: an offset or uncertainty would only blur what is judged.
void AuditJudge::judge_clocks() {
  const auto time = audit_.fidelity.find("virtual_time");
  if (time == audit_.fidelity.end() || time->second != 1) return;
  for (const RecordFile& file : run_.files) {
    if (file.reader.header().clock_offset_ns == 0 && file.clock.empty() && file.uncertainty() == 0) continue;
    judgement_.undecided(Rule::records, "an uncertain clock in virtual time", file.name,
                         fmt::format("uncertainty {} ns", file.uncertainty()));
  }
}

// A simulator knows where the time went, or its host has lost the thread; a real network may not.
void AuditJudge::judge_splits() {
  const std::uint64_t deliveries = audit_.splits + audit_.unsplit;
  const auto time = audit_.fidelity.find("virtual_time");
  if (time == audit_.fidelity.end() || time->second != 1 || audit_.unsplit * 10 <= deliveries) return;
  judgement_.undecided(Rule::records, "where the time went is unknown", "audit rows",
                       fmt::format("{} of {} deliveries have no split row; in virtual time at most a tenth may lack it",
                                   audit_.unsplit, deliveries));
}

Audit AuditJudge::judge() {
  std::map<std::pair<Index, std::uint32_t>, const Subscriber*> clients;
  for (const Subscriber& s : subscribers_) clients.emplace(std::pair(s.process, s.incarnation), &s);
  std::map<std::pair<std::string, std::string>, Mark> marks;
  for (const RecordFile& file : run_.files) {
    if (file.reader.writer() != record::Writer::audit) continue;
    Book book = read(file);
    judge_packets(file, book);
    judge_counters(file, book);
    const auto client = clients.find({file.process(), file.incarnation()});
    if (client != clients.end()) {
      judge_client(file, book, *client->second);
    } else {
      judge_peers(file, book);
    }
    for (const auto& [key, value] : book.counters) {
      audit_.totals[key.second == 0 ? key.first : fmt::format("{}/{}", key.first, key.second)] += value;
      if (key.first == "gaps_told") gaps_told_[file.process()][key.second] += value;
    }
    for (auto& [name, mark] : book.marks) {
      const auto [at, fresh] = marks.try_emplace({mark.process, name}, mark);
      if (!fresh && mark.used > at->second.used) at->second = mark;
    }
    if (book.traces > 0) audit_.traces.push_back(book.trace);
  }
  for (auto& [key, mark] : marks) audit_.marks.push_back(std::move(mark));
  judge_gaps();
  read_runner();
  judge_splits();
  judge_clocks();
  return std::move(audit_);
}

}  // namespace

Audit judge_audit(const RunFiles& run, const Timeline& timeline, Ledger& ledger,
                  const std::vector<Subscriber>& subscribers, Judgement& judgement) {
  Audit audit = AuditJudge(run, timeline, ledger, subscribers, judgement).judge();
  hash_traces(audit);
  return audit;
}

}  // namespace portolan::check
