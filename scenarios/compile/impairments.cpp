// What a link does to packets, as scenarios say it: shared by models, links, directions and `degrade`.
#include <algorithm>

#include "scenarios/base/hash.hpp"
#include "scenarios/compile/context.hpp"
#include "scenarios/compile/trace.hpp"

namespace portolan::compile {

const std::vector<std::string> kImpairmentKeys = {"delay", "jitter",  "loss",      "rate",
                                                  "queue", "reorder", "duplicate", "mtu"};

namespace {

using plan::Impairments;
using plan::JitterKind;
using plan::LossKind;
using plan::Ppb;
using plan::QueueKind;

constexpr Ppb kOne = 1'000'000'000;

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  return s;
}

// "1 ms", "5 us/km", "1 ms + 5 us/km", or {trace: FILE, repeat: true}.
void read_delay(Context& c, const Tree& value, const std::string& key, LinkModel& m) {
  m.delay_given = true;
  if (value.is_map()) {
    Map map(c, value, key, {"trace", "repeat"});
    if (const Tree* file = map.need("trace", "FILE.csv")) {
      if (const auto text = c.input_file(*file, map.path("trace"))) {
        const auto trace = read_delay_trace(*text);
        if (trace) {
          m.impairments.delay_trace = trace->points;
          m.impairments.delay_trace_period_ns = trace->period_ns;
          m.delay_ns = trace->points.front().delay_ns;
          m.delay_ps_per_km = 0;
        } else {
          c.out.error(file->at, map.path("trace"), trace.error().text());
        }
      }
    }
    if (const Tree* repeat = map.find("repeat")) {
      if (c.choice(*repeat, map.path("repeat"), {"true", "false"}).value_or(0) == 1) {
        m.impairments.delay_trace_period_ns = 0;
      }
    }
    return;
  }
  const auto text = c.word(value, key);
  if (!text) return;
  m.delay_ns = 0;
  m.delay_ps_per_km = 0;
  m.impairments.delay_trace.clear();
  m.impairments.delay_trace_period_ns = 0;
  std::string_view rest = *text;
  bool more = true;
  while (more) {
    const std::size_t plus = rest.find('+');
    more = plus != std::string_view::npos;
    const std::string_view part = trimmed(rest.substr(0, plus));
    rest = more ? rest.substr(plus + 1) : std::string_view();
    const bool per_km = part.find('/') != std::string_view::npos;
    const auto number = read_quantity(part, per_km ? Unit::time_per_km : Unit::time);
    if (!number) {
      c.out.error(value.at, key, number.error().cause);
      return;
    }
    (per_km ? m.delay_ps_per_km : m.delay_ns) += *number;
  }
}

// none, "1 ms" (exponential of that mean), or {uniform|exponential|normal: 1 ms, max: 10 ms}.
void read_jitter(Context& c, const Tree& value, const std::string& key, Impairments& x) {
  x.jitter = {};
  if (value.is_scalar() && value.text == "none") return;
  if (!value.is_map()) {
    const auto mean = c.quantity(value, key, Unit::time);
    if (mean) x.jitter = {JitterKind::exponential, *mean, 10 * *mean};
    return;
  }
  Map map(c, value, key, {"uniform", "exponential", "normal", "max"});
  const std::vector<std::pair<const char*, JitterKind>> kinds = {
      {"uniform", JitterKind::uniform}, {"exponential", JitterKind::exponential}, {"normal", JitterKind::normal}};
  int said = 0;
  for (const auto& [name, kind] : kinds) {
    if (map.find(name) == nullptr) continue;
    ++said;
    x.jitter.kind = kind;
    map.read(name, Unit::time, x.jitter.scale_ns);
  }
  if (said != 1) {
    c.out.error(value.at, key,
                "needs exactly one of uniform, exponential, normal; say one such as `{exponential: 1 ms, max: 10 ms}`");
    return;
  }
  x.jitter.max_ns = x.jitter.kind == JitterKind::uniform ? x.jitter.scale_ns : 10 * x.jitter.scale_ns;
  map.read("max", Unit::time, x.jitter.max_ns);
}

// none, "1 %", or {mean: 5 %, burst: 20 ms, in-burst: 100 %, between: 0 %} (Gilbert-Elliott).
void read_loss(Context& c, const Tree& value, const std::string& key, Impairments& x) {
  x.loss = {};
  if (value.is_scalar() && value.text == "none") return;
  if (!value.is_map()) {
    const auto share = c.quantity(value, key, Unit::share);
    if (share && *share > 0) {
      x.loss.kind = LossKind::uniform;
      x.loss.probability = static_cast<Ppb>(*share);
    }
    return;
  }
  Map map(c, value, key, {"mean", "burst", "in-burst", "between"});
  Ppb mean = 0;
  Ns burst = 0;
  Ppb bad = kOne;
  Ppb good = 0;
  const Tree* said_mean = map.need("mean", "5 %");
  const Tree* said_burst = map.need("burst", "20 ms");
  const bool read_all = said_mean != nullptr && said_burst != nullptr && map.read("mean", Unit::share, mean) &&
                        map.read("burst", Unit::time, burst);
  if (map.find("in-burst") != nullptr && !map.read("in-burst", Unit::share, bad)) return;
  if (map.find("between") != nullptr && !map.read("between", Unit::share, good)) return;
  if (!read_all) return;
  if (!(good < mean && mean < bad)) {
    c.out.error(
        said_mean->at, map.path("mean"),
        "must lie between the loss outside a burst (`between`, default 0 %) and inside (`in-burst`, default 100 %)");
    return;
  }
  if (burst == 0) {
    c.out.error(said_burst->at, map.path("burst"), "must be longer than 0 s");
    return;
  }
  // The share of time in bursts is s = (mean - good) / (bad - good), and s = burst / (burst + pause).
  x.loss.kind = LossKind::gilbert_elliott;
  x.loss.probability = bad;
  x.loss.good_probability = good;
  x.loss.bad_dwell_ns = burst;
  const auto pause = static_cast<unsigned_int128>(burst) * (bad - mean) / (mean - good);
  x.loss.good_dwell_ns = static_cast<Ns>(std::min<unsigned_int128>(pause, Ns{1} << 60));
}

// unlimited, "10 Mbit/s", or {trace: FILE} (Mahimahi).
void read_rate(Context& c, const Tree& value, const std::string& key, Impairments& x) {
  x.rate_bps = 0;
  x.rate_trace_ms.clear();
  x.rate_trace_period_ns = 0;
  if (value.is_scalar() && value.text == "unlimited") return;
  if (value.is_map()) {
    Map map(c, value, key, {"trace"});
    const Tree* file = map.need("trace", "FILE");
    if (file == nullptr) return;
    const auto text = c.input_file(*file, map.path("trace"));
    if (!text) return;
    const auto trace = read_mahimahi(*text);
    if (trace) {
      x.rate_trace_ms = trace->milliseconds;
      x.rate_trace_period_ns = trace->period_ns;
    } else {
      c.out.error(file->at, map.path("trace"), trace.error().text());
    }
    return;
  }
  const auto rate = c.quantity(value, key, Unit::rate);
  if (rate && *rate == 0) c.out.error(value.at, key, "must be above 0; say `unlimited` for no limit");
  if (rate) x.rate_bps = static_cast<std::uint64_t>(*rate);
}

// "256 KiB", "20 ms" (of the line's rate), or {codel: 256 KiB, target: 5 ms, interval: 100 ms}.
void read_queue(Context& c, const Tree& value, const std::string& key, LinkModel& m) {
  m.impairments.queue = {};
  m.queue_time_ns = 0;
  const auto length = [&](const Tree& from, const std::string& where) {
    const auto text = c.word(from, where);
    if (!text) return;
    if (const auto bytes = read_quantity(*text, Unit::size)) {
      m.impairments.queue.bytes = static_cast<std::uint64_t>(*bytes);
      if (*bytes < 1500) c.out.error(from.at, where, "holds not even one packet of 1500 B; say at least `1500 B`");
    } else if (const auto time = read_quantity(*text, Unit::time)) {
      m.queue_time_ns = *time;
      if (*time == 0) c.out.error(from.at, where, "must be longer than 0 s");
    } else {
      c.out.error(from.at, where,
                  "\"" + *text + "\" is neither a size nor a time; say `256 KiB`, or `20 ms` of the link's rate");
    }
  };
  if (!value.is_map()) return length(value, key);
  const std::vector<std::string> kinds = {"tail-drop", "codel", "fq-codel"};
  Map map(c, value, key, {"tail-drop", "codel", "fq-codel", "target", "interval", "ecn"});
  std::size_t said = 0;
  for (const std::string& kind : kinds) said += map.find(kind) != nullptr ? 1 : 0;
  if (said != 1) {
    c.out.error(value.at, key, "needs exactly one of tail-drop, codel, fq-codel; say one such as `{codel: 256 KiB}`");
    return;
  }
  plan::Queue& queue = m.impairments.queue;
  for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
    const Tree* bytes = map.find(kinds[kind]);
    if (bytes == nullptr) continue;
    queue.kind = static_cast<QueueKind>(kind);
    length(*bytes, map.path(kinds[kind]));
  }
  map.read("target", Unit::time, queue.target_ns);
  map.read("interval", Unit::time, queue.interval_ns);
  if (const Tree* ecn = map.find("ecn")) {
    queue.ecn = c.choice(*ecn, map.path("ecn"), {"false", "true"}).value_or(0) == 1;
    if (queue.ecn && queue.kind == QueueKind::tail_drop) {
      c.out.error(ecn->at, map.path("ecn"), "a tail-drop queue marks nothing; say `{codel: 256 KiB, ecn: true}`");
    }
  }
}

void read_mtu(Context& c, const Tree& value, const std::string& key, Impairments& x) {
  const auto bytes = c.quantity(value, key, Unit::size);
  if (!bytes) return;
  if (*bytes < 576 || *bytes > 65'535) {
    c.out.error(value.at, key,
                show_size(static_cast<std::uint64_t>(*bytes)) + " is out of range; valid: 576 B to 65535 B");
    return;
  }
  x.mtu_bytes = static_cast<std::uint32_t>(*bytes);
}

void read_reorder(Context& c, const Tree& value, const std::string& key, Impairments& x) {
  x.reorder = 0;
  x.reorder_ns = 0;
  if (value.is_scalar() && value.text == "none") return;
  Map map(c, value, key, {"share", "by"});
  if (map.need("share", "0.1 %") != nullptr) map.read("share", Unit::share, x.reorder);
  if (map.need("by", "2 ms") != nullptr) map.read("by", Unit::time, x.reorder_ns);
}

}  // namespace

void read_impairments(Context& c, const Map& map, LinkModel& model, std::vector<std::string>* given) {
  for (const std::string& name : kImpairmentKeys) {
    const Tree* value = map.find(name);
    if (value == nullptr) continue;
    if (given != nullptr) given->push_back(name);
    const std::string key = map.path(name);
    Impairments& x = model.impairments;
    if (name == "delay") read_delay(c, *value, key, model);
    if (name == "jitter") read_jitter(c, *value, key, x);
    if (name == "loss") read_loss(c, *value, key, x);
    if (name == "rate") read_rate(c, *value, key, x);
    if (name == "queue") read_queue(c, *value, key, model);
    if (name == "reorder") read_reorder(c, *value, key, x);
    if (name == "mtu") read_mtu(c, *value, key, x);
    if (name == "duplicate") {
      if (const auto share = c.quantity(*value, key, Unit::share)) x.duplicate = static_cast<Ppb>(*share);
    }
  }
}

void finish_impairments(LinkModel& m) {
  Impairments& x = m.impairments;
  const std::uint64_t rate = Paths::rate_bps(x);
  if (rate == 0) return;  // never a queue
  constexpr Ns kDefaultQueueNs = 50'000'000;
  constexpr std::uint64_t kLeast = 64 * 1024;  // one burst of a segment must fit
  if (m.queue_time_ns == 0 && x.queue.bytes == 0) m.queue_time_ns = kDefaultQueueNs;
  if (m.queue_time_ns > 0) {
    const auto bytes =
        static_cast<unsigned_int128>(rate) * static_cast<std::uint64_t>(m.queue_time_ns) / 8'000'000'000u;
    x.queue.bytes = std::max(kLeast, static_cast<std::uint64_t>(bytes));
  }
}

}  // namespace portolan::compile
