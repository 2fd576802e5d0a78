// Stage: load. A load makes a stream for each of its sources and, from the topic's pattern, the topics.
#include "scenarios/load/load.hpp"

#include <algorithm>
#include <set>

#include "scenarios/base/hash.hpp"
#include "scenarios/compile/context.hpp"

namespace portolan::compile {
namespace {

constexpr std::size_t kMaxStreams = 200'000;
constexpr std::uint32_t kMaxMessage = 16u << 20;  // the protocol's
// message_bytes_max of broker::Limits by name.
constexpr std::uint32_t kUsualMost = 4u << 20;       // "sim", "sim_client"; beyond it: "long", "long_client"
constexpr std::uint32_t kThousandMost = 128u << 10;  // "thousand"

const Tree* section(const Context& c, std::string_view name) {
  for (const auto& e : c.root.entries) {
    if (e.key == name) return &e.value;
  }
  return nullptr;
}

class LoadReader {
 public:
  LoadReader(Context& c, const Tree::Entry& e, std::string key)
      : c_(c),
        e_(e),
        map_(c, e.value, std::move(key),
             {"kind", "topic", "publisher", "every", "size", "streams", "count", "start", "end", "vessels", "lanes",
              "file", "speed", "tenant"}) {}

  void run() {
    if (!map_.ok()) return;
    errors_before_ = c_.out.errors();
    load_.name = e_.key;
    load_.start_ns = 1'000'000'000;  // sessions and subscriptions stand by then
    load_.end_ns = c_.plan.duration_ns;
    static const std::vector<std::string> kinds = {"periodic", "poisson", "fleet", "replay"};
    const Tree* kind = map_.need("kind", "periodic");
    const auto which = kind != nullptr ? c_.choice(*kind, map_.path("kind"), kinds) : std::nullopt;
    if (which) load_.kind = static_cast<plan::LoadKind>(*which);
    times();
    if (which) {
      refuse_foreign_keys(kinds[*which]);
      if (load_.kind == plan::LoadKind::fleet) fleet();
      if (load_.kind == plan::LoadKind::replay) replay();
      if (load_.kind == plan::LoadKind::periodic || load_.kind == plan::LoadKind::poisson) synthetic();
    }
    if (const Tree* count = map_.find("count")) {
      load_.count = c_.count(*count, map_.path("count"), 1, 1'000'000'000).value_or(0);
    }
    load_.seed = draw64(c_.plan.seed, name64("load"), name64(load_.name)) >> 1;
    streams();
  }

 private:
  void refuse_foreign_keys(const std::string& kind) {
    static const std::vector<std::pair<std::string, std::string>> only = {{"every", "periodic poisson"},
                                                                          {"size", "periodic poisson"},
                                                                          {"vessels", "fleet"},
                                                                          {"lanes", "fleet"},
                                                                          {"file", "replay"},
                                                                          {"speed", "replay"},
                                                                          {"streams", "periodic poisson replay"}};
    for (const auto& [key, kinds] : only) {
      const Tree* value = map_.find(key);
      if (value != nullptr && (" " + kinds + " ").find(" " + kind + " ") == std::string::npos) {
        c_.out.error(value->at, map_.path(key), "has no meaning for a load of kind " + kind + "; leave it out");
      }
    }
  }

  void times() {
    for (const char* key : {"start", "end"}) {
      Ns& to = std::string_view(key) == "start" ? load_.start_ns : load_.end_ns;
      if (map_.read(key, Unit::time, to) && to > c_.plan.duration_ns) {
        c_.out.error(map_.find(key)->at, map_.path(key),
                     show_time(to) + " is after the end; the run lasts " + show_time(c_.plan.duration_ns));
      }
    }
    if (load_.end_ns <= load_.start_ns && c_.out.errors() == errors_before_) {
      c_.out.error(map_.at(), map_.path("start"),
                   "the load starts at " + show_time(load_.start_ns) + " (1 s unless said) and ends at " +
                       show_time(load_.end_ns) + "; start it before it ends");
    }
  }

  void synthetic() {
    if (const Tree* every = map_.need("every", "50 ms")) {
      load_.interval_ns = c_.quantity(*every, map_.path("every"), Unit::time).value_or(1);
      if (load_.interval_ns == 0) {
        c_.out.error(every->at, map_.path("every"), "must be longer than 0 s");
        load_.interval_ns = 1;
      }
    }
    if (const Tree* size = map_.need("size", "256 B")) {
      const auto bytes = c_.quantity(*size, map_.path("size"), Unit::size);
      if (bytes && (*bytes < 16 || *bytes > kMaxMessage)) {
        c_.out.error(size->at, map_.path("size"),
                     show_size(static_cast<std::uint64_t>(*bytes)) + " is out of range; valid: 16 B to 16 MiB");
      } else if (bytes) {
        load_.size_bytes = static_cast<std::uint32_t>(*bytes);
      }
    }
    if (const Tree* n = map_.find("streams")) {
      wanted_ = c_.count(*n, map_.path("streams"), 1, kMaxStreams).value_or(1);
    }
  }

  void fleet() {
    if (const Tree* n = map_.need("vessels", "200"))
      wanted_ = c_.count(*n, map_.path("vessels"), 1, kMaxStreams).value_or(1);
    const Tree* lanes = map_.need("lanes", "[[hamburg, rotterdam], [gdansk, gothenburg]]");
    if (lanes == nullptr) return;
    if (!lanes->is_list() || lanes->items.empty()) {
      c_.out.error(lanes->at, map_.path("lanes"), "must be a list of lanes, each a list of harbours or places");
      return;
    }
    for (const Tree& lane : lanes->items) {
      if (!lane.is_list() || lane.items.size() < 2) {
        c_.out.error(lane.at, map_.path("lanes"), "a lane has at least two points, as in `[hamburg, rotterdam]`");
        continue;
      }
      auto& points = load_.lanes.emplace_back();
      for (const Tree& item : lane.items) waypoint(item, points);
    }
  }

  void waypoint(const Tree& item, std::vector<plan::Waypoint>& points) {
    const auto text = c_.word(item, map_.path("lanes"));
    if (!text) return;
    if (text->find(',') != std::string::npos) {
      const auto place = read_coordinates(*text);
      if (!place) return c_.out.error(item.at, map_.path("lanes"), place.error().cause);
      points.push_back({place->lat_udeg, place->lon_udeg});
    } else if (const auto h = c_.harbour(item, map_.path("lanes"))) {
      points.push_back({c_.plan.harbours[*h].lat_udeg, c_.plan.harbours[*h].lon_udeg});
    }
    const std::size_t n = points.size();
    if (n > 1 && points[n - 1].lat_udeg == points[n - 2].lat_udeg && points[n - 1].lon_udeg == points[n - 2].lon_udeg) {
      c_.out.error(item.at, map_.path("lanes"), "\"" + *text + "\" twice in a row; a lane goes from place to place");
    }
  }

  void replay() {
    if (const Tree* file = map_.need("file", "data/ais-stream-2010-06-11.txt")) {
      if (c_.input_file(*file, map_.path("file"))) {
        load_.file = file->text;
        load_.sha256 = c_.input_hashes[file->text];
      }
    }
    if (const Tree* speed = map_.find("speed")) {
      // "2 x": twice as fast as the file's own timing.
      const auto text = c_.word(*speed, map_.path("speed"));
      std::string_view number = text ? std::string_view(*text) : std::string_view();
      const bool times = number.ends_with("x");
      if (times) number.remove_suffix(1);
      const auto permille = read_quantity(std::string(number) + (number.ends_with(" ") ? "" : " ") + "us", Unit::time);
      if (text && (!times || !permille || *permille < 1 || *permille > 1'000'000)) {
        c_.out.error(speed->at, map_.path("speed"),
                     "\"" + *text + "\" is not a speed; say `2 x` for twice as fast (0.001 x to 1000 x)");
      } else if (permille) {
        load_.speed_permille = static_cast<std::uint32_t>(*permille);
      }
    }
    if (const Tree* n = map_.find("streams")) {
      wanted_ = c_.count(*n, map_.path("streams"), 1, kMaxStreams).value_or(1);
    }
  }

  // The entry of `topics` that this load publishes on.
  TopicEntry* topic() {
    const Tree* value = map_.need("topic", "ais/{vessel}/position");
    if (value == nullptr) return nullptr;
    const auto text = c_.word(*value, map_.path("topic"));
    if (!text) return nullptr;
    std::vector<std::string> names;
    for (TopicEntry& t : c_.topics) {
      if (t.pattern == *text) return &t;
      names.push_back(t.pattern);
    }
    c_.out.error(value->at, map_.path("topic"), "no topic \"" + *text + "\" in `topics`" + suggest(*text, names));
    return nullptr;
  }

  void streams() {
    TopicEntry* entry = topic();
    const Tree* publisher = map_.need("publisher", "CLIENT");
    const auto tenants = c_.tenant_list(map_.find("tenant"), map_.path("tenant"));
    std::vector<Index> all;
    if (publisher != nullptr) {
      for (const Tree* item : c_.one_or_more(*publisher, map_.path("publisher"))) {
        for (Index p : resolve_processes(c_, *item, map_.path("publisher"))) {
          if (c_.plan.processes[p].kind == plan::ProcessKind::broker) {
            if (item->text.ends_with("broker")) {
              c_.out.error(item->at, map_.path("publisher"), "a broker publishes nothing; name a client");
            }
            continue;
          }
          if (std::find(all.begin(), all.end(), p) == all.end()) all.push_back(p);
        }
      }
    }
    if (entry == nullptr || all.empty()) return;
    entry->loaded = true;
    const auto load = static_cast<Index>(c_.plan.loads.size());
    std::uint32_t number = 0;
    for (Index t : tenants) {
      std::vector<Index> sources;
      for (Index p : all) {
        if (c_.plan.processes[p].tenant == t) sources.push_back(p);
      }
      if (sources.empty()) continue;
      if (std::find(entry->tenants.begin(), entry->tenants.end(), t) == entry->tenants.end()) {
        c_.out.error(map_.find("topic")->at, map_.path("topic"),
                     "\"" + entry->pattern + "\" does not exist for tenant \"" + c_.plan.tenants[t].name +
                         "\"; add it there or name a tenant");
        continue;
      }
      number = tenant_streams(*entry, t, sources, load, number);
    }
    if (number == 0 && c_.out.errors() == errors_before_) {
      c_.out.error(map_.at(), map_.path("publisher"), "has no client of the tenants named");
    }
    c_.plan.loads.push_back(std::move(load_));
    c_.load_at.push_back(e_.at);
  }

  std::uint32_t tenant_streams(const TopicEntry& entry, Index t, const std::vector<Index>& sources, Index load,
                               std::uint32_t number) {
    const std::uint64_t wanted = wanted_ != 0 ? wanted_ : sources.size();
    const bool many = !entry.placeholder.empty();
    if (!many && wanted != sources.size()) {
      const Tree* said = map_.find(load_.kind == plan::LoadKind::fleet ? "vessels" : "streams");
      c_.out.error(said->at, map_.path(load_.kind == plan::LoadKind::fleet ? "vessels" : "streams"),
                   std::to_string(wanted) + (wanted == 1 ? " stream from " : " streams from ") +
                       std::to_string(sources.size()) +
                       (sources.size() == 1 ? " publisher on \"" : " publishers on \"") + entry.pattern +
                       "\": each publisher has one stream on a topic; use a topic with a placeholder, such as `" +
                       entry.pattern + "/{source}`, or as many publishers");
      return number;
    }
    if (c_.plan.streams.size() + wanted > kMaxStreams) {
      c_.out.error(e_.at, map_.path(""), "makes more than " + std::to_string(kMaxStreams) + " streams");
      return number;
    }
    const std::size_t digits = std::to_string(wanted).size();
    for (std::uint64_t i = 0; i < wanted; ++i) {
      const Index source = sources[i % sources.size()];
      std::string value = std::to_string(i + 1);
      value.insert(0, digits - value.size(), '0');
      const std::string harbour = c_.plan.harbours[c_.plan.nodes[c_.plan.processes[source].node].harbour].name;
      const Index topic = topic_index(entry, t, value, harbour);
      if (!c_.published.insert({source, topic}).second) {
        c_.out.error(e_.at, map_.path("topic"),
                     "\"" + c_.plan.processes[source].name + "\" publishes on \"" + c_.plan.topics[topic].name +
                         "\" in another load already; use another topic or client");
        return number;
      }
      c_.plan.streams.push_back({load, source, topic, number++});
    }
    return number;
  }

  Index topic_index(const TopicEntry& entry, Index t, const std::string& value, const std::string& harbour) {
    std::string name;
    for (std::size_t from = 0; from <= entry.pattern.size();) {
      const std::size_t to = std::min(entry.pattern.find('/', from), entry.pattern.size());
      const std::string level = entry.pattern.substr(from, to - from);
      from = to + 1;
      name += name.empty() ? "" : "/";
      if (level == "{harbour}") {
        name += harbour;
      } else if (level == "{hub}") {
        name += hub_name(c_, c_.harbours.at(harbour));
      } else if (level.front() == '{') {
        name += value;
      } else {
        name += level;
      }
    }
    return add_topic(c_, entry, t, name);
  }

  Context& c_;
  const Tree::Entry& e_;
  Map map_;
  plan::Load load_;
  std::uint64_t wanted_ = 0;
  std::size_t errors_before_ = 0;
};

std::uint32_t message_most(const std::string& limits) {
  if (limits == "thousand") return kThousandMost;
  return limits == "sim" || limits == "sim_client" ? kUsualMost : kMaxMessage;
}

// Whether a message of this stream may come by this process: any broker of the tenant may have to pass it on.
bool comes_by(const plan::Plan& plan, const plan::Stream& stream, Index p) {
  const plan::Process& process = plan.processes[p];
  if (process.tenant != plan.processes[stream.process].tenant) return false;
  if (process.kind == plan::ProcessKind::broker || p == stream.process) return true;
  return std::any_of(process.subscriptions.begin(), process.subscriptions.end(), [&](const plan::Subscription& s) {
    return plan::filter_matches(s.filter, plan.topics[stream.topic].name);
  });
}

// Limits that nobody chose grow with the longest message; those that were chosen must do.
void fit_limits(Context& c) {
  const auto& loads = c.plan.loads;
  const auto longer = [&](std::uint32_t most) {
    return std::any_of(loads.begin(), loads.end(), [most](const plan::Load& l) { return l.size_bytes > most; });
  };
  if (!longer(kThousandMost)) return;
  const bool grow = longer(kUsualMost);
  for (Index p = 0; grow && p < c.plan.processes.size(); ++p) {
    std::string& limits = c.plan.processes[p].limits;
    if (!c.limits_said[p].empty()) continue;
    limits = limits == "sim" ? "long" : limits == "sim_client" ? "long_client" : limits;
  }
  std::vector<Index> tight;  // mostly none, so that many streams cost nothing
  for (Index p = 0; p < c.plan.processes.size(); ++p) {
    if (longer(message_most(c.plan.processes[p].limits))) tight.push_back(p);
  }
  std::set<std::pair<Index, std::string>> told;  // load, limits
  for (const plan::Stream& stream : c.plan.streams) {
    const plan::Load& load = loads[stream.load];
    if (load.size_bytes <= kThousandMost) continue;
    for (const Index p : tight) {
      const std::string& limits = c.plan.processes[p].limits;
      const std::uint32_t most = message_most(limits);
      if (load.size_bytes <= most || !comes_by(c.plan, stream, p)) continue;
      const std::string& said = c.limits_said[p];
      if (!told.insert({stream.load, said + limits}).second) continue;
      c.out.error(c.load_at[stream.load], "load." + load.name + ".size",
                  show_size(load.size_bytes) + " is more than a message of " + c.plan.processes[p].name +
                      " may have, " + show_size(most) + " with limits \"" + limits + "\"" +
                      (said.empty() ? ", which brokers of more than " + std::to_string(kMeshMost) +
                                          " harbours have; say `broker: {limits: long}` or make it smaller"
                                    : " of " + said + "; leave that key out, say `long` there or make it smaller"));
    }
  }
}

}  // namespace

void read_loads(Context& c) {
  const Tree* node = section(c, "load");
  if (node != nullptr) {
    Map map(c, *node, "load", {});
    for (const auto& e : map.entries()) LoadReader(c, e, map.path(e.key)).run();
  }
  fit_limits(c);
  for (TopicEntry& entry : c.topics) {
    if (entry.loaded || c.out.failed()) continue;
    c.out.warning(entry.at, "topics." + entry.pattern, "nobody publishes on it; add a load or remove it");
    if (!entry.placeholder.empty() || entry.per_harbour) continue;
    for (Index t : entry.tenants) add_topic(c, entry, t, entry.pattern);
  }
}

std::vector<LoadRate> stream_rates(const plan::Plan& plan, const std::string& folder) {
  std::vector<LoadRate> rates(plan.streams.size());
  const auto synthetic = [](const plan::Load& l) {
    return l.kind == plan::LoadKind::periodic || l.kind == plan::LoadKind::poisson;
  };
  // Fleets and replays have their own timing: ask the generators that will make them.
  const bool ask = std::any_of(plan.loads.begin(), plan.loads.end(), [&](const auto& l) { return !synthetic(l); });
  std::optional<load::Workload> workload;
  if (ask) {
    if (auto made = load::Workload::make(plan, folder)) workload.emplace(std::move(*made));
  }
  for (Index s = 0; s < plan.streams.size(); ++s) {
    const plan::Load& l = plan.loads[plan.streams[s].load];
    const double seconds = static_cast<double>(l.end_ns - l.start_ns) / 1e9;
    double messages = 0;
    double bytes = 0;
    if (synthetic(l)) {
      messages = seconds * 1e9 / static_cast<double>(l.interval_ns);
      bytes = static_cast<double>(l.size_bytes);
    } else if (workload) {
      auto generator = load::Generator::make(*workload, s, 1);
      if (!generator) continue;
      while (const auto shot = generator->next(l.end_ns)) {
        messages += 1;
        bytes += static_cast<double>(shot->size_bytes);
      }
      bytes = messages > 0 ? bytes / messages : 0;
    }
    if (l.count > 0) messages = std::min(messages, static_cast<double>(l.count));
    rates[s] = {messages, bytes, seconds > 0 ? messages / seconds : 0};
  }
  return rates;
}

}  // namespace portolan::compile
