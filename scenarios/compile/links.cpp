// Stage: link models (presets and the scenario's own) and links: distance makes delay, overrides make the rest.
#include <algorithm>

#include "scenarios/base/hash.hpp"
#include "scenarios/compile/context.hpp"
#include "scenarios/compile/trace.hpp"

namespace portolan::compile {

const std::vector<std::string> kImpairmentKeys = {"delay", "jitter", "loss", "rate", "queue", "reorder", "duplicate"};

namespace {

using plan::Impairments;
using plan::JitterKind;
using plan::LossKind;
using plan::Ppb;
using plan::QueueKind;

constexpr Ppb kOne = 1'000'000'000;

std::vector<std::string> keys_with(const std::vector<std::string>& more) {
  std::vector<std::string> keys = more;
  keys.insert(keys.end(), kImpairmentKeys.begin(), kImpairmentKeys.end());
  return keys;
}

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
  Map map(c, value, key, {"tail-drop", "codel", "target", "interval"});
  const Tree* tail = map.find("tail-drop");
  const Tree* codel = map.find("codel");
  if ((tail == nullptr) == (codel == nullptr)) {
    c.out.error(value.at, key, "needs exactly one of tail-drop, codel; say one such as `{codel: 256 KiB}`");
    return;
  }
  if (codel != nullptr) {
    m.impairments.queue.kind = QueueKind::codel;
    map.read("target", Unit::time, m.impairments.queue.target_ns);
    map.read("interval", Unit::time, m.impairments.queue.interval_ns);
    return length(*codel, map.path("codel"));
  }
  length(*tail, map.path("tail-drop"));
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
    if (name == "duplicate") {
      if (const auto share = c.quantity(*value, key, Unit::share)) x.duplicate = static_cast<Ppb>(*share);
    }
  }
}

void finish_impairments(LinkModel& m) {
  Impairments& x = m.impairments;
  std::uint64_t rate = x.rate_bps;
  if (!x.rate_trace_ms.empty()) {
    rate = static_cast<std::uint64_t>(static_cast<unsigned_int128>(x.rate_trace_ms.size()) * 12'000 * 1'000'000'000 /
                                      static_cast<std::uint64_t>(x.rate_trace_period_ns));
  }
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

void read_models(Context& c) {
  add_presets(c);
  const Tree* node = nullptr;
  for (const auto& e : c.root.entries) {
    if (e.key == "models" && node == nullptr) node = &e.value;
  }
  if (node == nullptr) return;
  Map map(c, *node, "models", {});
  for (const auto& e : map.entries()) {
    const std::string key = map.path(e.key);
    if (c.models.contains(e.key)) {
      c.out.error(e.at, key, "is a model already; choose another name");
      continue;
    }
    LinkModel model;
    Map settings(c, e.value, key, keys_with({"like"}));
    std::vector<std::string> names;
    for (const auto& [name, known] : c.models) names.push_back(name);
    if (const Tree* like = settings.find("like")) {
      if (const auto which = c.choice(*like, settings.path("like"), names)) model = c.models[names[*which]];
    } else if (settings.ok() && settings.find("delay") == nullptr) {
      c.out.error(e.value.at, settings.path("delay"), "is missing; say `delay: 1 ms + 6 us/km`, or `like: internet`");
    }
    model.name = e.key;
    read_impairments(c, settings, model, nullptr);
    model.delay_given = false;
    c.models.emplace(e.key, std::move(model));
  }
}

std::optional<std::string> link_name(std::string_view text, std::string& a, std::string& b, bool& one_way) {
  std::size_t join_at = text.find(" -- ");
  one_way = join_at == std::string_view::npos;
  if (one_way) join_at = text.find(" -> ");
  if (join_at == std::string_view::npos) return std::nullopt;
  a = std::string(trimmed(text.substr(0, join_at)));
  std::string_view rest = trimmed(text.substr(join_at + 4));
  std::string suffix;
  const std::size_t open = rest.find('(');
  if (open != std::string_view::npos) {
    suffix = std::string(rest.substr(open));
    rest = trimmed(rest.substr(0, open));
  }
  b = std::string(rest);
  return suffix;
}

namespace {

void add_link(Context& c, const Tree::Entry& e, const std::string& key) {
  std::string ends[2];
  bool one_way = false;
  const auto suffix = link_name(e.key, ends[0], ends[1], one_way);
  if (!suffix || one_way) {
    c.out.error(e.at, key, "is not a link; say its two harbours as `berlin -- hamburg: MODEL`");
    return;
  }
  Index at[2];
  for (int i = 0; i < 2; ++i) {
    const auto found = c.harbours.find(ends[i]);
    if (found == c.harbours.end()) {
      c.out.error(e.at, key, "no harbour \"" + ends[i] + "\"" + suggest(ends[i], c.harbour_names()));
      return;
    }
    at[i] = found->second;
  }
  if (at[0] == at[1]) {
    c.out.error(e.at, key, "joins " + ends[0] + " to itself; name two harbours");
    return;
  }
  const std::string name = ends[0] + "--" + ends[1] + *suffix;
  const std::string reverse = ends[1] + "--" + ends[0] + *suffix;
  if (c.links.contains(name) || c.links.contains(reverse)) {
    const Position first = c.link_at[c.links[c.links.contains(name) ? name : reverse]];
    c.out.error(e.at, key,
                "joins the same harbours as on line " + std::to_string(first.line) + "; for a second link say `" +
                    ends[0] + " -- " + ends[1] + " (second)`");
    return;
  }
  plan::Link link;
  link.name = name;
  link.a = c.edge[at[0]];
  link.b = c.edge[at[1]];
  link.distance_m = distance_between(c.plan.harbours[at[0]], c.plan.harbours[at[1]]);
  link.floor_ns = floor_of(link.distance_m);
  link.seed = draw64(c.plan.seed, name64("link"), name64(name)) >> 1;  // 63 bits: JSON readers with signed integers

  std::vector<std::string> models;
  for (const auto& [model_name, known] : c.models) models.push_back(model_name);
  LinkModel way[2];
  if (e.value.is_map()) {
    Map map(c, e.value, key, keys_with({"model", "length", "towards"}));
    const Tree* model = map.find("model");
    if (model == nullptr && map.find("delay") == nullptr) {
      c.out.error(e.value.at, map.path("model"), "is missing; valid: " + listed(models) + ", or give a `delay`");
    }
    if (model != nullptr) {
      if (const auto which = c.choice(*model, map.path("model"), models)) way[0] = c.models[models[*which]];
    }
    link.model = model != nullptr ? way[0].name : "custom";
    std::uint64_t length = 0;
    if (map.read("length", Unit::length, length)) {
      if (length < link.distance_m) {
        c.out.error(map.find("length")->at, map.path("length"),
                    "is shorter than the great circle of " + std::to_string(link.distance_m / 1000) + " km");
      } else {
        link.distance_m = length;
      }
    }
    read_impairments(c, map, way[0], nullptr);
    way[1] = way[0];
    if (const Tree* towards = map.find("towards")) {
      Map directions(c, *towards, map.path("towards"), {ends[0], ends[1]});
      for (const auto& d : directions.entries()) {
        if (d.key != ends[0] && d.key != ends[1]) continue;
        Map one(c, d.value, directions.path(d.key), kImpairmentKeys);
        read_impairments(c, one, way[d.key == ends[1] ? 0 : 1], nullptr);
      }
    }
  } else if (const auto which = c.choice(e.value, key, models)) {
    way[0] = way[1] = c.models[models[*which]];
    link.model = way[0].name;
  }
  if (link.model.empty()) link.model = "custom";
  for (int i = 0; i < 2; ++i) {
    finish_impairments(way[i]);
    Impairments& x = i == 0 ? link.a_to_b : link.b_to_a;
    x = way[i].impairments;
    x.delay_ns = way[i].delay_ns +
                 static_cast<Ns>(static_cast<unsigned_int128>(way[i].delay_ps_per_km) * link.distance_m / 1'000'000);
    if (x.delay_ns < link.floor_ns && !c.out.error_on_line(e.at.line)) {
      c.out.error(e.at, key,
                  "its delay of " + show_time(x.delay_ns) + " is below the floor of " + show_time(link.floor_ns) +
                      " (" + std::to_string(link.distance_m / 1000) +
                      " km at two thirds of the speed of light); give it at least that");
    }
  }
  c.links.emplace(name, static_cast<Index>(c.plan.links.size()));
  c.plan.links.push_back(std::move(link));
  c.link_at.push_back(e.at);
}

}  // namespace

void read_links(Context& c) {
  const Tree* node = nullptr;
  for (const auto& e : c.root.entries) {
    if (e.key == "links" && node == nullptr) node = &e.value;
  }
  if (node != nullptr) {
    Map map(c, *node, "links", {});
    for (const auto& e : map.entries()) add_link(c, e, map.path(e.key));
  }
  if (c.plan.harbours.size() < 2 || c.out.failed()) return;
  // A network split by construction: nothing would ever arrive across.
  const Paths paths(c.plan);
  std::vector<std::string> apart;
  for (Index h = 1; h < c.plan.harbours.size(); ++h) {
    if (paths.delay(0, h) < 0) apart.push_back(c.plan.harbours[h].name);
  }
  if (!apart.empty()) {
    c.out.error(
        node != nullptr ? node->at : c.root.at, "links",
        "the network is split: no way from " + c.plan.harbours[0].name + " to " + listed(apart) + "; add a link");
  }
}

}  // namespace portolan::compile
