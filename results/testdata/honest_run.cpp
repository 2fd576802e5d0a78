#include "results/testdata/honest_run.hpp"

#include <algorithm>
#include <map>
#include <tuple>

#include "results/record/hash.hpp"
#include "scenarios/base/hash.hpp"
#include "scenarios/plan/floor.hpp"

namespace portolan::honest {

using record::Kind;
using record::Row;

namespace {

constexpr Ns kForever = 1'000'000 * kSecond;
constexpr Ns kAck = 1 * kMs;  // publisher to its home broker, with the answer
constexpr Ns kReconnect = 300 * kMs;
constexpr Ns kAsk = 20 * kMs;  // subscribe to SUBSCRIBED

struct Span {
  Ns from, to;
};
struct Life {
  std::uint32_t incarnation;
  Ns from, to;
  bool died;
};

// What one message met, and where it went.
struct Sent {
  std::uint64_t sequence;
  Ns intended, accepted;  // kForever: never
  Ns received = 0;        // latest of its subscribers
  std::uint64_t hash;
  std::uint32_t size;
};

class Model {
 public:
  explicit Model(const plan::Plan& plan) : plan_(plan) { out_.plan = plan; }
  Run make();

 private:
  Ns end() const { return plan_.duration_ns + plan_.drain_ns; }
  std::vector<Life> lives(Index p) const;
  std::vector<Span> away(Index p) const;
  std::vector<Span> chain(Index home, Index broker, Index client) const;
  Ns through(const std::vector<Span>& outages, Ns from, Ns to, Ns again) const;
  LogicalFile& file(record::Writer writer, Index p, std::uint32_t incarnation);
  void put(LogicalFile& file, Ns at, Kind kind, Row row, const std::string& topic = "", const std::string& text = "");
  void counter(LogicalFile& file, Ns at, const std::string& name, std::uint64_t value, std::uint32_t code = 0);
  void processes();
  void subscribe(Index client, const Life& life);
  void publish(Index stream, const Life& life);
  void deliver(Index stream, const Life& publisher, std::vector<Sent>& sent, Index client, const Life& life);
  Ns first_cursor(Index client, const Life& life) const;
  void answers(Index stream, const Life& life, const std::vector<Sent>& sent);
  void audits();
  void runner();

  const plan::Plan& plan_;
  Run out_;
  std::map<std::tuple<record::Writer, Index, std::uint32_t>, std::size_t> index_;
  std::map<std::pair<Index, std::uint32_t>, std::map<std::uint32_t, std::uint64_t>> gaps_told_;  // broker -> reason
};

std::vector<Span> Model::away(Index p) const {
  std::vector<Span> out;
  for (const plan::Fault& f : plan_.faults) {
    const bool stops =
        f.kind == plan::FaultKind::kill || f.kind == plan::FaultKind::restart || f.kind == plan::FaultKind::pause;
    if (stops && std::count(f.processes.begin(), f.processes.end(), p) > 0)
      out.push_back({f.at_ns, f.until_ns == 0 ? kForever : f.until_ns});
  }
  return out;
}

std::vector<Life> Model::lives(Index p) const {
  std::vector<Life> out = {{1, plan_.processes[p].start_ns, end(), false}};
  for (const plan::Fault& f : plan_.faults) {
    const bool ends = f.kind == plan::FaultKind::kill || f.kind == plan::FaultKind::restart;
    if (!ends || std::count(f.processes.begin(), f.processes.end(), p) == 0) continue;
    out.back().to = f.at_ns;
    out.back().died = true;
    if (f.until_ns > 0) out.push_back({out.back().incarnation + 1, f.until_ns, end(), false});
  }
  return out;
}

// When home, broker or client was away or cut off from the next. The network is a star: a cut harbour is cut from all.
std::vector<Span> Model::chain(Index home, Index broker, Index client) const {
  std::vector<Span> out;
  for (const Index p : {home, broker, client}) {
    const auto spans = away(p);
    out.insert(out.end(), spans.begin(), spans.end());
  }
  const auto harbour = [&](Index p) { return plan_.nodes[plan_.processes[p].node].harbour; };
  for (const plan::Fault& f : plan_.faults) {
    if (f.kind != plan::FaultKind::cut || harbour(home) == harbour(broker)) continue;
    for (const Index l : f.links) {
      const Index cut_off = plan_.nodes[plan_.links[l].a].harbour;
      if (harbour(home) == cut_off || harbour(broker) == cut_off)
        out.push_back({f.at_ns, f.until_ns == 0 ? kForever : f.until_ns});
    }
  }
  return out;
}

// A step from `from` to `to` that an outage breaks is done again once it is over; kForever when it never is.
Ns Model::through(const std::vector<Span>& outages, Ns from, Ns to, Ns again) const {
  for (bool moved = true; moved;) {
    moved = false;
    for (const Span& s : outages) {
      if (s.from > to || s.to < from || s.to >= kForever) {
        if (s.to >= kForever && s.from <= to) return kForever;
        continue;
      }
      const Ns length = to - from;
      from = s.to + 1;
      to = std::max(to, from + length + again);
      moved = true;
    }
  }
  return to;
}

LogicalFile& Model::file(record::Writer writer, Index p, std::uint32_t incarnation) {
  const auto [at, fresh] = index_.try_emplace({writer, p, incarnation}, out_.files.size());
  if (fresh) {
    LogicalFile f;
    f.writer = writer;
    f.process = p;
    f.incarnation = incarnation;
    f.name = plan_.processes[p].name;
    std::replace(f.name.begin(), f.name.end(), '/', '_');
    f.name += "." + std::to_string(incarnation) + (writer == record::Writer::application ? ".app.rec" : ".audit.rec");
    out_.files.push_back(std::move(f));
  }
  return out_.files[at->second];
}

void Model::put(LogicalFile& f, Ns at, Kind kind, Row row, const std::string& topic, const std::string& text) {
  row.time_ns = at;
  f.rows.push_back({kind, row, topic, text});
}

void Model::counter(LogicalFile& f, Ns at, const std::string& name, std::uint64_t value, std::uint32_t code) {
  Row row;
  row.value = value;
  row.code = code;
  put(f, at, Kind::counter, row, "", name);
}

void Model::processes() {
  out_.files.reserve(2 * plan_.processes.size() * (plan_.faults.size() + 1));  // references to them stay good
  for (Index p = 0; p < plan_.processes.size(); ++p) {
    for (const Life& life : lives(p)) {
      LogicalFile& audit = file(record::Writer::audit, p, life.incarnation);
      audit.end = life.died ? record::EndCode::killed : record::EndCode::finished;
      const plan::Process& process = plan_.processes[p];
      const auto session = [&](LogicalFile& f, Index peer, bool client) {
        // Up at start, down and up again around each outage of the peer.
        Ns up = life.from + 5 * kMs;
        std::uint32_t incarnation = 1;
        for (const Life& theirs : lives(peer)) {
          if (theirs.to <= life.from) ++incarnation;
        }
        for (const Life& theirs : lives(peer)) {
          if (theirs.incarnation < incarnation) continue;
          incarnation = theirs.incarnation;
          up = std::max(life.from, theirs.from) + 5 * kMs;
          if (up >= life.to) break;
          Row r;
          r.publisher = plan_.processes[peer].id;
          r.incarnation = incarnation;
          r.hash = draw64(std::min(p, peer), std::max(p, peer), up);
          put(f, up, client ? Kind::session_up : Kind::peer_up, r);
          if (!theirs.died || theirs.to + 400 * kMs >= life.to) continue;
          put(f, theirs.to + 400 * kMs, client ? Kind::session_down : Kind::peer_down, r);
        }
      };
      if (process.kind == plan::ProcessKind::client) {
        LogicalFile& app = file(record::Writer::application, p, life.incarnation);
        app.end = audit.end;
        session(app, process.broker, true);
        subscribe(p, life);
      } else {
        for (const Index peer : process.peers) session(audit, peer, false);
      }
    }
  }
}

// When SUBSCRIBED came; what is accepted later than its cursors were taken is owed.
Ns Model::first_cursor(Index client, const Life& life) const {
  return std::max(life.from, plan_.processes[client].subscriptions.front().at_ns) + kAsk;
}

void Model::subscribe(Index client, const Life& life) {
  LogicalFile& app = file(record::Writer::application, client, life.incarnation);
  for (const plan::Subscription& s : plan_.processes[client].subscriptions) {
    const Ns at = std::max(life.from, s.at_ns);
    if (at >= life.to) continue;
    put(app, at, Kind::subscribe, {}, "", s.filter);
    put(app, at + kAsk, Kind::subscribed, {}, "", s.filter);
    if (s.until_ns > 0 && s.until_ns < life.to) put(app, s.until_ns, Kind::unsubscribe, {}, "", s.filter);
  }
}

void Model::publish(Index stream, const Life& life) {
  const auto workload = load::Workload::make(plan_, ".");
  auto shots = load::Generator::make(*workload, stream, life.incarnation);
  const plan::Stream& s = plan_.streams[stream];
  const plan::Topic& topic = plan_.topics[s.topic];
  LogicalFile& app = file(record::Writer::application, s.process, life.incarnation);
  const Index home = plan_.processes[s.process].broker;
  std::vector<Sent> sent;
  std::vector<std::uint8_t> payload;
  while (const auto shot = shots->next(life.to - 1)) {
    if (!workload->payload(s.topic, s.process, life.incarnation, sent.size() + 1, payload)) break;
    Sent m{
        sent.size() + 1, shot->intended_ns, 0, 0, record::hash64(payload), static_cast<std::uint32_t>(payload.size())};
    m.accepted = through(chain(home, home, s.process), m.intended, m.intended + kAck, kReconnect);
    if (m.accepted >= life.to) m.accepted = kForever;
    Row row;
    row.publisher = plan_.processes[s.process].id;
    row.incarnation = life.incarnation;
    row.sequence = m.sequence;
    row.intended_ns = m.intended;
    row.sent_ns = m.intended;
    row.hash = m.hash;
    row.value = m.size;
    put(app, m.intended, Kind::publish, row, topic.name);
    sent.push_back(m);
  }
  for (Index c = 0; c < plan_.processes.size(); ++c) {
    const plan::Process& client = plan_.processes[c];
    if (client.tenant != topic.tenant) continue;
    const bool asks = std::any_of(client.subscriptions.begin(), client.subscriptions.end(),
                                  [&](const auto& x) { return plan::filter_matches(x.filter, topic.name); });
    if (!asks) continue;
    for (const Life& theirs : lives(c)) deliver(stream, life, sent, c, theirs);
  }
  answers(stream, life, sent);
}

void Model::deliver(Index stream, const Life& publisher, std::vector<Sent>& sent, Index client, const Life& life) {
  const plan::Stream& s = plan_.streams[stream];
  const plan::Topic& topic = plan_.topics[s.topic];
  const Index home = plan_.processes[s.process].broker, broker = plan_.processes[client].broker;
  const auto outages = chain(home, broker, client);
  const Ns floor = plan::floor_ns(plan_.harbours[plan_.nodes[plan_.processes[s.process].node].harbour],
                                  plan_.harbours[plan_.nodes[plan_.processes[client].node].harbour]);
  const Ns confirmed = first_cursor(client, life);
  const Ns detach = plan_.processes[home].detach_ns;
  LogicalFile& app = file(record::Writer::application, client, life.incarnation);
  LogicalFile& audit = file(record::Writer::audit, client, life.incarnation);
  Row row;
  row.publisher = plan_.processes[s.process].id;
  row.incarnation = publisher.incarnation;
  bool cursor = false;
  Ns last = 0;
  std::uint64_t gap_first = 0;
  Ns until = life.to;
  for (const plan::Subscription& x : plan_.processes[client].subscriptions) {
    if (x.until_ns > 0 && plan::filter_matches(x.filter, topic.name)) until = std::min(until, x.until_ns);
  }
  for (Sent& m : sent) {
    if (m.accepted == kForever || m.accepted <= confirmed - kAsk / 2) continue;
    if (!cursor && (m.accepted <= confirmed || publisher.from > confirmed || m.sequence >= 1)) {
      row.sequence = m.sequence;
      row.code = m.accepted <= confirmed ? 1 : 2;
      if (std::max(m.accepted, confirmed - 1) >= until) break;
      put(app, m.accepted <= confirmed ? confirmed - 1 : m.accepted, Kind::cursor, row, topic.name);
      row.code = 0;
      cursor = true;
    }
    const bool repaired = m.sequence % 17 == 0;
    const Ns queueing = 200'000 + static_cast<Ns>(below64(draw64(stream, client, m.sequence), 800'000));
    const Ns repair = repaired ? 8 * kMs : 0;
    const Ns way = 2 * floor + queueing + repair + 300'000;
    Ns at = through(outages, m.accepted, m.accepted + way, kReconnect);
    // Went with publisher and home broker.
    const auto home_away = away(home);
    if (publisher.died && std::any_of(home_away.begin(), home_away.end(), [&](const Span& x) {
          return x.from >= m.accepted && x.from <= m.accepted + way && publisher.to <= x.to;
        }))
      continue;
    Ns released = at;  // when the home broker stops waiting for this subscriber
    for (const Span& x : outages) {
      if (x.from <= m.accepted + way && x.to >= m.accepted && x.to - x.from > detach)
        released = std::min(released, x.from + detach);
    }
    m.received = std::max(m.received, std::max(released, m.accepted + way));
    if (at == kForever) continue;
    const bool expired = at > m.accepted + way + kReconnect / 2 && m.intended + topic.retain_ns <= at - kReconnect;
    if (expired) {
      if (gap_first == 0) gap_first = m.sequence;
      last = std::max(last, at);
      continue;
    }
    at = std::max(at, last + 1);
    if (gap_first != 0 && at < until) {
      row.sequence = gap_first;
      row.last = m.sequence - 1;
      row.code = 1;
      put(app, at, Kind::gap, row, topic.name);
      std::uint32_t theirs = 1;
      for (const Life& b : lives(broker)) theirs = b.from <= at ? b.incarnation : theirs;
      gaps_told_[{broker, theirs}][1] += m.sequence - gap_first;
      row.last = row.code = 0;
      gap_first = 0;
    }
    last = at;
    if (at >= until) continue;
    row.sequence = m.sequence;
    row.hash = m.hash;
    row.value = m.size;
    put(app, at, Kind::deliver, row, topic.name);
    row.hash = row.value = 0;
    Row split = row;
    split.flags = repaired ? record::kFlagRepaired : std::uint16_t{0};
    split.code = static_cast<std::uint32_t>(floor);
    split.intended_ns = 2 * floor;
    split.sent_ns = 100'000;
    split.value = static_cast<std::uint64_t>(repair);
    split.extra = 200'000 + kAck;
    split.hash = static_cast<std::uint64_t>(at - m.intended - split.intended_ns - split.sent_ns - repair - split.extra);
    put(audit, at, Kind::split, split, topic.name);
  }
}

void Model::answers(Index stream, const Life& life, const std::vector<Sent>& sent) {
  const plan::Stream& s = plan_.streams[stream];
  LogicalFile& app = file(record::Writer::application, s.process, life.incarnation);
  Row row;
  row.publisher = plan_.processes[s.process].id;
  row.incarnation = life.incarnation;
  Ns received = 0;
  for (const Sent& m : sent) {
    if (m.accepted == kForever) continue;
    row.sequence = m.sequence;
    put(app, m.accepted, Kind::accepted, row, plan_.topics[s.topic].name);
    received = std::max({received, m.received, m.accepted}) + 1;
    const Index home = plan_.processes[s.process].broker;
    const Ns at = through(chain(home, home, s.process), received, received + kAck, kReconnect);
    if (at < life.to) put(app, at, Kind::received, row, plan_.topics[s.topic].name);
  }
}

void Model::audits() {
  for (LogicalFile& f : out_.files) {
    std::stable_sort(f.rows.begin(), f.rows.end(),
                     [](const LogicalRow& a, const LogicalRow& b) { return a.row.time_ns < b.row.time_ns; });
    std::uint64_t cursors = 0;
    for (LogicalRow& r : f.rows) {
      if (r.kind == Kind::cursor) ++cursors;
      if (r.kind == Kind::subscribed) r.row.value = cursors;
    }
  }
  for (std::size_t i = 0; i < out_.files.size(); ++i) {
    LogicalFile& f = out_.files[i];
    if (f.writer != record::Writer::audit) continue;
    Ns at = end();
    for (const Life& life : lives(f.process)) {
      if (life.incarnation == f.incarnation) at = life.to;
    }
    Row row;
    row.hash = draw64(f.process, f.incarnation);
    row.sequence = 1, row.last = 500;
    put(f, at, Kind::packets, row);
    row.sequence = 502, row.last = 900;
    put(f, at, Kind::packets, row);
    row.last = 0, row.sequence = 17, row.code = 9;
    put(f, at, Kind::verdict, row);
    counter(f, at, "packets_accepted", 899);
    counter(f, at, "verdicts", 1);
    for (const char* name : {"datagrams_in", "datagrams_out", "bytes_in", "bytes_out", "repair_datagrams",
                             "repair_bytes", "packets_lost"}) {
      counter(f, at, name, 900);
    }
    Row mark;
    mark.value = 40, mark.sequence = 64;
    for (const char* pool : {"small_slots", "session.credit_bytes", "session.repair_bytes"}) {
      put(f, at, Kind::high_water, mark, "", pool);
    }
    if (plan_.processes[f.process].kind == plan::ProcessKind::client) {
      const LogicalFile& app = file(record::Writer::application, f.process, f.incarnation);
      const auto of = [&](Kind kind) { return static_cast<std::uint64_t>(app.find(kind).size()); };
      counter(f, at, "published", of(Kind::publish));
      counter(f, at, "accepted", of(Kind::accepted));
      counter(f, at, "received", of(Kind::received));
      counter(f, at, "delivered", of(Kind::deliver));
      counter(f, at, "gaps", of(Kind::gap));
      std::uint64_t told = 0;
      for (const std::size_t g : app.find(Kind::gap)) told += app.rows[g].row.last - app.rows[g].row.sequence + 1;
      counter(f, at, "gap_messages", told);
      counter(f, at, "unsplit", 0);
    } else {
      counter(f, at, "detached", 0);
      for (const auto& [reason, messages] : gaps_told_[{f.process, f.incarnation}])
        counter(f, at, "gaps_told", messages, reason);
    }
    Row trace;
    trace.hash = draw64(f.process, f.incarnation, plan_.seed);
    trace.value = 1234;
    put(f, at, Kind::trace, trace);
  }
}

void Model::runner() {
  LogicalFile& f = out_.runner;
  f.writer = record::Writer::runner;
  f.name = "runner.rec";
  const auto mark = [&](Ns at, Kind kind, std::uint64_t value) {
    Row row;
    row.value = value;
    put(f, at, kind, row);
  };
  for (Index p = 0; p < plan_.processes.size(); ++p) {
    for (const Life& life : lives(p)) {
      Row row;
      row.value = p;
      row.incarnation = life.incarnation;
      put(f, life.from, Kind::started, row);
      row.code = life.died ? 1 : 0;
      put(f, life.to, Kind::stopped, row);
    }
  }
  std::uint64_t epoch = 0;
  for (std::size_t i = 0; i < plan_.faults.size(); ++i) {
    const plan::Fault& fault = plan_.faults[i];
    mark(fault.at_ns, Kind::fault_on, i);
    if (fault.until_ns > 0) mark(fault.until_ns, Kind::fault_off, i);
    if (fault.kind != plan::FaultKind::cut) continue;
    mark(fault.at_ns + plan_.convergence_ns, Kind::path_change, ++epoch);
    if (fault.until_ns > 0) mark(fault.until_ns + plan_.convergence_ns, Kind::path_change, ++epoch);
  }
  Row row;
  for (const plan::Link& link : plan_.links) {
    if (link.model == "veth") continue;
    for (const char* way : {"/a_to_b/", "/b_to_a/"}) {
      for (const char* what : {"packets", "bytes", "dropped/loss", "dropped_bytes/loss"}) {
        row.value = 1000;
        put(f, end(), Kind::link_counters, row, "", link.name + way + what);
      }
      const std::string name = link.name + std::string(way).substr(0, 7);
      for (Ns from = 0; from < end(); from += end() / 2) {
        Row load;
        load.intended_ns = from;
        load.sequence = load.last = load.value = 500;
        put(f, from + end() / 2, Kind::link_load, load, "", name);
        Row drops;
        drops.value = drops.last = 500;
        put(f, from + end() / 2, Kind::link_drops, drops, "", name + "/loss");
      }
    }
  }
  row.value = 1;
  put(f, end(), Kind::fidelity, row, "", "virtual_time");
  put(f, end(), Kind::fidelity, row, "", "runner=sim");
  row.hash = 77;
  put(f, end(), Kind::trace, row);
  std::stable_sort(f.rows.begin(), f.rows.end(),
                   [](const LogicalRow& a, const LogicalRow& b) { return a.row.time_ns < b.row.time_ns; });
}

Run Model::make() {
  processes();
  for (Index s = 0; s < plan_.streams.size(); ++s) {
    for (const Life& life : lives(plan_.streams[s].process)) publish(s, life);
  }
  audits();
  runner();
  return std::move(out_);
}

}  // namespace

Run run_honestly(const plan::Plan& plan) {
  return Model(plan).make();
}

}  // namespace portolan::honest
