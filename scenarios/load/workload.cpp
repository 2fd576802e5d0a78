// See load.hpp: which stream is which, the restarts that the plan foresees, and the payload of a message.
#include <sodium/crypto_hash_sha256.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <map>

#include "scenarios/base/hash.hpp"
#include "scenarios/load/fleet.hpp"
#include "scenarios/load/load.hpp"
#include "scenarios/load/nmea.hpp"

namespace portolan::load {
namespace {

constexpr std::uint64_t most_reports = 50'000'000;  // of all vessels together; 16 bytes each
constexpr std::uint64_t largest_replay = std::uint64_t{1} << 30;

Expected<std::string> read_whole(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const std::streamoff size = file ? static_cast<std::streamoff>(file.tellg()) : -1;
  if (size < 0) return fail(Exit::cannot, path, "cannot be read; the plan replays this file");
  if (static_cast<std::uint64_t>(size) > largest_replay) return fail(Exit::usage, path, "larger than 1 GiB");
  std::string text(static_cast<std::size_t>(size), '\0');
  file.seekg(0);
  if (!file.read(text.data(), size)) return fail(Exit::cannot, path, "cannot be read to its end");
  return text;
}

std::string sha256_hex(const std::string& bytes) {
  std::array<unsigned char, crypto_hash_sha256_BYTES> digest{};
  crypto_hash_sha256(digest.data(), reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  constexpr std::string_view hex = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : digest) {
    text += hex[byte >> 4];
    text += hex[byte & 15];
  }
  return text;
}

plan::Ns load_end(const plan::Plan& plan, const plan::Load& load) {
  return load.end_ns > 0 ? load.end_ns : plan.duration_ns;
}

// A message of the file, on the run's timeline. A file may span decades: what lies past a century lies past any run.
plan::Ns replay_ns(const plan::Load& load, const Replay::Message& message) {
  constexpr unsigned_int128 century = 3'155'760'000'000'000'000;
  const unsigned_int128 scaled =
      static_cast<unsigned_int128>(static_cast<std::uint64_t>(message.at_ns)) * 1000 / load.speed_permille;
  return load.start_ns + static_cast<plan::Ns>(std::min(scaled, century));
}

}  // namespace

Workload::Workload(const plan::Plan& plan) : plan_(&plan) {}
Workload::Workload(Workload&&) noexcept = default;
Workload& Workload::operator=(Workload&&) noexcept = default;
Workload::~Workload() = default;

Expected<Workload> Workload::make(const plan::Plan& plan, const std::string& folder) {
  Workload w(plan);
  w.starts_.resize(plan.processes.size());
  for (std::size_t i = 0; i < plan.processes.size(); ++i) {
    std::vector<plan::Ns>& starts = w.starts_[i];
    starts.push_back(plan.processes[i].start_ns);
    for (const plan::Fault& fault : plan.faults) {
      const bool returns =
          (fault.kind == plan::FaultKind::restart) || (fault.kind == plan::FaultKind::kill && fault.until_ns != 0);
      if (!returns || std::find(fault.processes.begin(), fault.processes.end(), i) == fault.processes.end()) continue;
      starts.push_back(std::max(fault.at_ns, fault.until_ns));
    }
    std::sort(starts.begin(), starts.end());
  }
  w.channels_.resize(plan.loads.size());
  for (const plan::Stream& s : plan.streams) {
    if (s.load < plan.loads.size()) w.channels_[s.load] = std::max(w.channels_[s.load], s.index + 1);
  }
  w.replays_.resize(plan.loads.size());
  for (plan::Index i = 0; i < plan.loads.size(); ++i) {
    if (plan.loads[i].kind != plan::LoadKind::replay) continue;
    if (auto added = w.add_replay(i, folder); !added) return tl::unexpected(added.error());
  }
  for (plan::Index i = 0; i < plan.streams.size(); ++i) {
    if (auto added = w.add_stream(i); !added) return tl::unexpected(added.error());
  }
  std::sort(w.by_key_.begin(), w.by_key_.end(), [](const Key& a, const Key& b) {
    return a.process != b.process ? a.process < b.process : a.topic < b.topic;
  });
  const auto twice = std::adjacent_find(w.by_key_.begin(), w.by_key_.end(), [](const Key& a, const Key& b) {
    return a.process == b.process && a.topic == b.topic;
  });
  if (twice != w.by_key_.end()) {
    return fail(Exit::usage, "/streams/" + std::to_string(std::max(twice->stream, std::next(twice)->stream)),
                "a process publishes a topic in one stream at most: sequences count per (publisher, topic)");
  }
  return w;
}

Expected<void> Workload::add_replay(plan::Index index, const std::string& folder) {
  const plan::Load& load = plan_->loads[index];
  const std::string place = "/loads/" + std::to_string(index);
  if (load.speed_permille == 0) return fail(Exit::usage, place + "/speed_permille", "must be at least 1");
  const std::string path = load.file.starts_with('/') || folder.empty() ? load.file : folder + "/" + load.file;
  auto bytes = read_whole(path);
  if (!bytes) return tl::unexpected(bytes.error());
  if (const std::string found = sha256_hex(*bytes); !load.sha256.empty() && found != load.sha256) {
    return fail(Exit::usage, path, "has SHA-256 " + found + " where the plan asks for " + load.sha256);
  }
  auto replay = Replay::parse(*bytes, path);
  if (!replay) return tl::unexpected(replay.error());
  replay->deal(channels_[index]);
  notes_.push_back({index, path + ": " + replay->summary()});
  replays_[index] = std::make_unique<Replay>(std::move(*replay));
  return {};
}

Expected<void> Workload::add_vessel(const plan::Stream& stream, StreamData& data) {
  const plan::Load& load = plan_->loads[stream.load];
  const std::string place = "/loads/" + std::to_string(stream.load);
  if (load.lanes.empty()) return fail(Exit::usage, place + "/lanes", "a fleet needs at least one lane");
  const std::size_t which = stream.index % load.lanes.size();
  auto lane = std::make_shared<Lane>(Lane::make(load.lanes[which]));
  if (lane->point.empty()) {
    return fail(Exit::usage, place + "/lanes/" + std::to_string(which), "needs two points a metre apart or more");
  }
  std::uint64_t room = most_reports;
  for (const auto& v : vessels_) room -= v->reports().size();
  vessels_.push_back(
      std::make_unique<Vessel>(std::move(lane), load.seed, stream.index, load.start_ns, load_end(*plan_, load), room));
  data.vessel = vessels_.back().get();
  data.items = data.vessel->reports().size();
  if (data.items == room) {
    return fail(Exit::usage, place, "more than 50,000,000 reports in all; shorten the run or the fleet");
  }
  return {};
}

Expected<void> Workload::add_stream(plan::Index index) {
  const plan::Stream& stream = plan_->streams[index];
  const std::string place = "/streams/" + std::to_string(index);
  if (stream.load >= plan_->loads.size() || stream.process >= plan_->processes.size() ||
      stream.topic >= plan_->topics.size()) {
    return fail(Exit::usage, place, "load, process or topic index out of range");
  }
  const plan::Load& load = plan_->loads[stream.load];
  const std::string load_place = "/loads/" + std::to_string(stream.load);
  by_key_.push_back({stream.process, stream.topic, index});
  StreamData data;
  const plan::Ns end_ns = load_end(*plan_, load);
  switch (load.kind) {
    case plan::LoadKind::periodic:
    case plan::LoadKind::poisson:
      if (load.interval_ns <= 0) return fail(Exit::usage, load_place + "/interval_ns", "must be above 0");
      if (load.size_bytes < smallest_synthetic)
        return fail(Exit::usage, load_place + "/size_bytes", "must be at least 16");
      break;
    case plan::LoadKind::fleet:
      if (auto added = add_vessel(stream, data); !added) return added;
      break;
    case plan::LoadKind::replay: {
      data.replay = replays_[stream.load].get();
      data.channel = stream.index;
      const auto& messages = data.replay->channel(data.channel);
      data.items = static_cast<std::uint64_t>(std::lower_bound(messages.begin(), messages.end(), end_ns,
                                                               [&](std::uint32_t m, plan::Ns t) {
                                                                 return replay_ns(load, data.replay->messages()[m]) < t;
                                                               }) -
                                              messages.begin());
      break;
    }
  }
  if (load.count > 0) data.items = std::min(data.items, load.count);
  streams_.push_back(std::move(data));
  if (load.kind == plan::LoadKind::fleet || load.kind == plan::LoadKind::replay) {
    for (const plan::Ns start : starts_[stream.process]) {
      std::uint64_t low = 0;
      std::uint64_t high = streams_.back().items;
      while (low < high) {  // the first item at or after this incarnation's start
        const std::uint64_t middle = low + (high - low) / 2;
        if (item_ns(index, middle) < start)
          low = middle + 1;
        else
          high = middle;
      }
      streams_.back().first_index.push_back(low);
    }
  }
  return {};
}

plan::Ns Workload::item_ns(plan::Index index, std::uint64_t item) const {
  const StreamData& data = streams_[index];
  if (data.vessel != nullptr) return data.vessel->reports()[item].at_ns;
  const plan::Load& load = plan_->loads[plan_->streams[index].load];
  return replay_ns(load, data.replay->messages()[data.replay->channel(data.channel)[item]]);
}

std::optional<std::uint64_t> Workload::item(const StreamData& data, std::uint64_t incarnation,
                                            std::uint64_t sequence) const {
  if (incarnation > data.first_index.size()) return {};
  const std::uint64_t first = data.first_index[incarnation - 1];
  if (sequence > data.items - std::min(first, data.items)) return {};
  return first + sequence - 1;
}

plan::Index Workload::stream_of(plan::Index process, plan::Index topic) const {
  const auto found = std::lower_bound(
      by_key_.begin(), by_key_.end(), Key{process, topic, 0},
      [](const Key& a, const Key& b) { return a.process != b.process ? a.process < b.process : a.topic < b.topic; });
  return found != by_key_.end() && found->process == process && found->topic == topic ? found->stream : plan::kNone;
}

const std::vector<plan::Ns>& Workload::incarnation_starts(plan::Index process) const {
  return starts_[process];
}

std::uint32_t Workload::payload_size(plan::Index index, std::uint64_t incarnation, std::uint64_t sequence) const {
  if (index >= streams_.size() || incarnation == 0 || sequence == 0) return 0;
  const plan::Stream& stream = plan_->streams[index];
  if (incarnation > starts_[stream.process].size()) return 0;
  const StreamData& data = streams_[index];
  if (data.vessel == nullptr && data.replay == nullptr) return plan_->loads[stream.load].size_bytes;
  const auto which = item(data, incarnation, sequence);
  if (!which) return 0;
  if (data.vessel != nullptr) return data.vessel->reports()[*which].statics ? statics_bytes : position_bytes;
  return data.replay->messages()[data.replay->channel(data.channel)[*which]].bytes;
}

bool Workload::payload(plan::Index topic, plan::Index process, std::uint64_t incarnation, std::uint64_t sequence,
                       std::vector<std::uint8_t>& out) const {
  out.clear();
  const plan::Index index = stream_of(process, topic);
  const std::uint32_t size = payload_size(index, incarnation, sequence);
  if (size == 0) return false;
  const StreamData& data = streams_[index];
  if (data.vessel == nullptr && data.replay == nullptr) {
    const plan::Topic& its = plan_->topics[topic];
    synthetic({plan_->loads[plan_->streams[index].load].seed, plan_->processes[process].id, its.name, its.tenant,
               incarnation, sequence},
              size, out);
    return true;
  }
  const std::uint64_t which = *item(data, incarnation, sequence);
  if (data.vessel != nullptr) {
    std::string text;
    data.vessel->append(data.vessel->reports()[which], which, text);
    out.assign(text.begin(), text.end());
  } else {
    const std::string_view text = data.replay->text(data.replay->messages()[data.replay->channel(data.channel)[which]]);
    out.assign(text.begin(), text.end());
  }
  return true;
}

}  // namespace portolan::load
