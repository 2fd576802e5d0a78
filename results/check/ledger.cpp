#include "results/check/ledger.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "results/record/hash.hpp"

namespace portolan::check {

using record::Kind;
using record::Row;

namespace {

std::uint64_t key_of(Index process, Index topic, std::uint32_t incarnation) {
  return (static_cast<std::uint64_t>(process) << 40) ^ (static_cast<std::uint64_t>(topic) << 12) ^ incarnation;
}

}  // namespace

struct Ledger::Reading {
  const RecordFile& file;
  struct Offers {
    std::optional<load::Generator> shots;
    bool told = false;  // a mismatch was reported
  };
  std::vector<std::size_t> by_text;      // sent_ index + 1 by the file's topic string; 0: not looked up yet
  std::map<std::size_t, Offers> offers;  // by sent_ index
};

Ledger::Ledger(const RunFiles& run, const Timeline& timeline, const load::Workload& workload, Judgement& judgement)
    : run_(run), timeline_(timeline), workload_(workload), judgement_(judgement) {
  topics_.resize(run.plan.tenants.size());
  clients_.resize(run.plan.tenants.size());
  for (Index t = 0; t < run.plan.topics.size(); ++t)
    topics_[run.plan.topics[t].tenant].emplace(run.plan.topics[t].name, t);
  for (Index p = 0; p < run.plan.processes.size(); ++p) {
    const plan::Process& process = run.plan.processes[p];
    if (process.kind == plan::ProcessKind::client) clients_[process.tenant].emplace(process.id, p);
  }
  for (const RecordFile& file : run.files) {
    if (file.reader.writer() == record::Writer::application) read(file);
  }
  for (Index p = 0; p < run.plan.processes.size(); ++p) {
    for (const Life& life : timeline.lives(p))
      check_shots(p, life, run.find(record::Writer::application, p, life.incarnation));
  }
}

Index Ledger::topic_of(Index tenant, std::string_view name) const {
  const auto at = topics_[tenant].find(std::string(name));
  return at == topics_[tenant].end() ? plan::kNone : at->second;
}

Index Ledger::client_of(Index tenant, std::uint64_t id) const {
  const auto at = clients_[tenant].find(id);
  return at == clients_[tenant].end() ? plan::kNone : at->second;
}

Sent* Ledger::find(Index process, Index topic, std::uint32_t incarnation) {
  const auto at = index_.find(key_of(process, topic, incarnation));
  return at == index_.end() ? nullptr : &sent_[at->second];
}

bool Ledger::expected(Index topic, Index process, std::uint32_t incarnation, std::uint64_t sequence,
                      std::uint64_t& hash, std::uint32_t& size) {
  if (!workload_.payload(topic, process, incarnation, sequence, payload_)) return false;
  hash = record::hash64(payload_);
  size = static_cast<std::uint32_t>(payload_.size());
  return true;
}

Sent* Ledger::sent_of(Reading& r, const Row& row) {
  if (r.by_text.size() <= row.topic) r.by_text.resize(r.file.reader.text_count() + 1, 0);
  std::size_t& slot = r.by_text[row.topic];
  if (slot == 0) {
    const plan::Process& process = run_.plan.processes[r.file.process()];
    const Index topic = topic_of(process.tenant, r.file.reader.text(row.topic));
    const Index stream = topic == plan::kNone ? plan::kNone : workload_.stream_of(r.file.process(), topic);
    if (stream == plan::kNone) {
      judgement_.fail(Rule::r4, "published what the plan does not have", r.file.name,
                      fmt::format("row {}: topic '{}'", row.number, r.file.reader.text(row.topic)),
                      Invariant::corruption);
      return nullptr;
    }
    const std::uint64_t key = key_of(r.file.process(), topic, r.file.incarnation());
    const auto [at, fresh] = index_.try_emplace(key, sent_.size());
    if (fresh) {
      Sent sent;
      sent.process = r.file.process();
      sent.topic = topic;
      sent.incarnation = r.file.incarnation();
      sent.stream = stream;
      sent.whole = r.file.whole;
      sent.uncertainty = r.file.uncertainty();
      sent_.push_back(std::move(sent));
    }
    slot = at->second + 1;
  }
  if (row.publisher != r.file.reader.header().process_id || row.incarnation != r.file.incarnation()) {
    judgement_.undecided(Rule::records, "a publisher's row names another", r.file.name,
                         fmt::format("row {}", row.number));
    return nullptr;
  }
  return &sent_[slot - 1];
}

void Ledger::publish(Reading& r, const Row& row) {
  if ((row.flags & record::kFlagOfferedAgain) != 0) return;
  Sent* sent = sent_of(r, row);
  if (sent == nullptr) return;
  const std::string& topic = run_.plan.topics[sent->topic].name;
  const std::uint64_t next = sent->messages.size() + 1;
  if (row.sequence != next) {
    judgement_.undecided(Rule::records, "publish rows missing", r.file.name,
                         fmt::format("row {}: {} sequence {}, expected {}", row.number, topic, row.sequence, next));
    if (row.sequence < next || row.sequence - next > holes_left_) return;
    holes_left_ -= row.sequence - next;
    sent->messages.resize(static_cast<std::size_t>(row.sequence - 1));
  }
  Message message;
  message.offered = true;
  message.intended = r.file.on_run(row.intended_ns);
  message.sent = r.file.on_run(row.sent_ns);
  lateness_.push_back(message.sent - message.intended);
  if (!expected(sent->topic, sent->process, sent->incarnation, row.sequence, message.hash, message.size) ||
      row.hash != message.hash || row.value != message.size) {
    judgement_.fail(
        Rule::r4, "published bytes are not the plan's", run_.plan.topics[sent->topic].family,
        fmt::format("{} row {}: {} sequence {}: hash {:016x} of {} bytes, the plan computes {:016x} of {}", r.file.name,
                    row.number, topic, row.sequence, row.hash, row.value, message.hash, message.size),
        Invariant::corruption);
  }
  sent->messages.push_back(message);
  // Each offer is one shot of the load, in order: latency counts from the plan's intended time and no other.
  auto& offers = r.offers[static_cast<std::size_t>(sent - sent_.data())];
  if (!offers.shots) {
    auto made = load::Generator::make(workload_, sent->stream, sent->incarnation);
    if (made) offers.shots.emplace(std::move(*made));
  }
  const auto shot = offers.shots ? offers.shots->next(kNever) : std::nullopt;
  if ((!shot || shot->intended_ns != row.intended_ns) && !offers.told) {
    offers.told = true;
    judgement_.undecided(
        Rule::records, "intended times are not the plan's", r.file.name,
        fmt::format("row {}: {} sequence {} intended at {} ns, the plan has {}", row.number, topic, row.sequence,
                    row.intended_ns, shot ? std::to_string(shot->intended_ns) : "no such"));
  }
}

void Ledger::answer(Reading& r, const Row& row) {
  Sent* sent = sent_of(r, row);
  if (sent == nullptr) return;
  const auto kind = static_cast<Kind>(row.kind);
  const std::uint64_t count = sent->messages.size();
  if (kind == Kind::refused && row.intended_ns != 0) {
    if (row.sequence != count || !sent->messages.back().offered) {
      judgement_.undecided(Rule::records, "refusal without its publish row", r.file.name,
                           fmt::format("row {}", row.number));
      return;
    }
    sent->messages.pop_back();
    ++sent->refused_on_the_spot;
    if (row.value != 0) ++sent->told_when;
    return;
  }
  if (row.sequence == 0 || (row.sequence > count && row.sequence - count > holes_left_)) {
    judgement_.undecided(Rule::records, "answer to nothing", r.file.name, fmt::format("row {}", row.number));
    return;
  }
  if (row.sequence > count) {
    holes_left_ -= row.sequence - count;
    sent->messages.resize(static_cast<std::size_t>(row.sequence));
  }
  Message& message = sent->messages[static_cast<std::size_t>(row.sequence - 1)];
  const Ns at = r.file.time(row);
  if (!message.offered) {
    judgement_.undecided(Rule::records, "publish rows missing", r.file.name,
                         fmt::format("row {}: {} sequence {} is answered but was not offered", row.number,
                                     run_.plan.topics[sent->topic].name, row.sequence));
  }
  if (kind == Kind::accepted) message.accepted = std::min(message.accepted, at);
  if (kind == Kind::refused) message.refused = true;
  if (kind == Kind::received) {
    message.received = std::min(message.received, at);
    if (message.accepted == kNever) {
      judgement_.undecided(Rule::records, "accepted rows missing", r.file.name,
                           fmt::format("row {}: {} sequence {} is received but not accepted", row.number,
                                       run_.plan.topics[sent->topic].name, row.sequence));
    }
  }
}

void Ledger::read(const RecordFile& file) {
  Reading reading{file, {}, {}};
  file.reader.for_each([&](const Row& row) {
    switch (static_cast<Kind>(row.kind)) {
      case Kind::publish:
        publish(reading, row);
        break;
      case Kind::refused:
        if (row.text != 0) break;  // of a subscription
        [[fallthrough]];
      case Kind::accepted:
      case Kind::received:
        answer(reading, row);
        break;
      default:
        break;
    }
  });
}

// In real time a publisher that is killed may have died before its turn came to what was due, and before the runner
// knew that it was dead.
constexpr Ns kKilledBefore = 100'000'000;

// Every shot that a living publisher should have fired is there: open-loop load that was not offered proves nothing.
void Ledger::check_shots(Index process, const Life& life, const RecordFile* file) {
  if (file == nullptr || !file->whole) return;
  Ns active_until = life.to == kNever ? timeline_.end() : life.to;
  for (const Interval& away : timeline_.away(process)) {
    if (away.from < active_until && away.to >= active_until) active_until = std::max(away.from, life.from);
  }
  if (life.died() && !timeline_.virtual_time()) active_until -= kKilledBefore;
  for (Index s = 0; s < run_.plan.streams.size(); ++s) {
    const plan::Stream& stream = run_.plan.streams[s];
    if (stream.process != process) continue;
    auto shots = load::Generator::make(workload_, s, life.incarnation);
    if (!shots) continue;
    std::uint64_t due = 0;
    while (const auto shot = shots->next(active_until)) {
      if (shot->intended_ns < active_until) ++due;
    }
    const Sent* sent = find(process, stream.topic, life.incarnation);
    const std::uint64_t offered = sent == nullptr ? 0 : sent->messages.size() + sent->refused_on_the_spot;
    if (offered < due) {
      judgement_.undecided(Rule::records, "load was not offered", file->name,
                           fmt::format("{}: {} of {} messages", run_.plan.topics[stream.topic].name, offered, due));
    }
  }
}

}  // namespace portolan::check
