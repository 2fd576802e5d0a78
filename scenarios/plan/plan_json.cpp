// The plan as canonical JSON. `fields` names every field of every struct once; a Writer and a Reader walk it, so what
// is written is what is read. Types and ranges are the schema's business, references between arrays plan_check.cpp's.
#include <algorithm>
#include <concepts>
#include <cstdio>
#include <fstream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "scenarios/plan/json_schema.hpp"
#include "scenarios/plan/plan.hpp"
#include "scenarios/plan/plan_check.hpp"

namespace portolan::plan {
namespace {

using nlohmann::json;

template <typename T, typename Of>
concept Is = std::same_as<std::remove_const_t<T>, Of>;

// Names of enumerators, in their order.
template <typename E>
struct Names;
#define PORTOLAN_NAMES(E, ...)                               \
  template <>                                                \
  struct Names<E> {                                          \
    static constexpr std::string_view all[] = {__VA_ARGS__}; \
  }
PORTOLAN_NAMES(NodeKind, "edge", "service", "station");
PORTOLAN_NAMES(JitterKind, "none", "uniform", "exponential", "normal");
PORTOLAN_NAMES(LossKind, "none", "uniform", "gilbert-elliott");
PORTOLAN_NAMES(QueueKind, "tail-drop", "codel", "fq-codel");
PORTOLAN_NAMES(LinkKind, "model", "point-to-point", "csma", "wifi");
PORTOLAN_NAMES(PeerRole, "mesh", "hub", "standby", "leaf", "standby-leaf");
PORTOLAN_NAMES(OverlayKind, "none", "vxlan");
PORTOLAN_NAMES(Security, "plain", "sealed");
PORTOLAN_NAMES(Between, "topics", "publishers");
PORTOLAN_NAMES(ProcessKind, "broker", "client");
PORTOLAN_NAMES(Replay, "none", "last", "retained");
PORTOLAN_NAMES(TopicClass, "realtime", "ordered");
PORTOLAN_NAMES(LoadKind, "periodic", "poisson", "fleet", "replay");
PORTOLAN_NAMES(FaultKind, "cut", "degrade", "partition", "kill", "restart", "pause", "clock-skew", "corrupt-disk",
               "lose-control");
PORTOLAN_NAMES(Way, "both", "a-to-b", "b-to-a");
PORTOLAN_NAMES(ExpectKind, "lost", "gaps", "duplicates", "disorder", "refused", "deliveries", "latency-above-floor",
               "latency", "recovery", "repair-ratio", "spurious-repair", "utilisation-at-least", "utilisation-at-most",
               "queue", "fairness", "goodput", "latency-rise", "busy");
#undef PORTOLAN_NAMES

// f(name, value) for each field; f.index(name, value) where kNone is allowed (null in JSON).
template <typename F, Is<Harbour> T>
void fields(F& f, T& v) {
  f("name", v.name);
  f("lat_udeg", v.lat_udeg);
  f("lon_udeg", v.lon_udeg);
  f("is_hub", v.is_hub);
  f.index("hub", v.hub);
  f.index("standby", v.standby);
}
template <typename F, Is<Tenant> T>
void fields(F& f, T& v) {
  f("name", v.name);
  f("vni", v.vni);
  f("subnet", v.subnet);
}
template <typename F, Is<Node> T>
void fields(F& f, T& v) {
  f("name", v.name);
  f("kind", v.kind);
  f("harbour", v.harbour);
  f.index("tenant", v.tenant);
  f("address", v.address);
  f("loopback_delay_ns", v.loopback_delay_ns);
  f("machine", v.machine);
  f("motion", v.motion);
}
template <typename F, Is<Motion> T>
void fields(F& f, T& v) {
  f("x_mm", v.x_mm);
  f("y_mm", v.y_mm);
  f("to_x_mm", v.to_x_mm);
  f("to_y_mm", v.to_y_mm);
  f("speed_mm_s", v.speed_mm_s);
}
template <typename F, Is<Wifi> T>
void fields(F& f, T& v) {
  f("standard", v.standard);
  f("width_mhz", v.width_mhz);
  f("mcs", v.mcs);
  f("tx_power_dbm", v.tx_power_dbm);
  f("exponent_milli", v.exponent_milli);
}
template <typename F, Is<Medium> T>
void fields(F& f, T& v) {
  f("name", v.name);
  f("kind", v.kind);
  f("node", v.node);
  f("rate_bps", v.rate_bps);
  f("delay_ns", v.delay_ns);
  f("wifi", v.wifi);
}
template <typename F, Is<Spread> T>
void fields(F& f, T& v) {
  f("least_ns", v.least_ns);
  f("more", v.more);
}
template <typename F, Is<Convergence> T>
void fields(F& f, T& v) {
  f("detection", v.detection);
  f("propagation", v.propagation);
  f("install", v.install);
}
template <typename F, Is<Overlay> T>
void fields(F& f, T& v) {
  f("kind", v.kind);
  f("header_bytes", v.header_bytes);
  f("inner_mtu_bytes", v.inner_mtu_bytes);
}
template <typename F, Is<Jitter> T>
void fields(F& f, T& v) {
  f("kind", v.kind);
  f("scale_ns", v.scale_ns);
  f("max_ns", v.max_ns);
}
template <typename F, Is<Loss> T>
void fields(F& f, T& v) {
  f("kind", v.kind);
  f("probability", v.probability);
  f("good_probability", v.good_probability);
  f("good_dwell_ns", v.good_dwell_ns);
  f("bad_dwell_ns", v.bad_dwell_ns);
}
template <typename F, Is<Queue> T>
void fields(F& f, T& v) {
  f("kind", v.kind);
  f("bytes", v.bytes);
  f("target_ns", v.target_ns);
  f("interval_ns", v.interval_ns);
  f("ecn", v.ecn);
}
template <typename F, Is<DelayPoint> T>
void fields(F& f, T& v) {
  f("at_ns", v.at_ns);
  f("delay_ns", v.delay_ns);
}
template <typename F, Is<Impairments> T>
void fields(F& f, T& v) {
  f("delay_ns", v.delay_ns);
  f("jitter", v.jitter);
  f("loss", v.loss);
  f("rate_bps", v.rate_bps);
  f("queue", v.queue);
  f("reorder", v.reorder);
  f("reorder_ns", v.reorder_ns);
  f("duplicate", v.duplicate);
  f("delay_trace", v.delay_trace);
  f("delay_trace_period_ns", v.delay_trace_period_ns);
  f("rate_trace_ms", v.rate_trace_ms);
  f("rate_trace_period_ns", v.rate_trace_period_ns);
  f("mtu_bytes", v.mtu_bytes);
}
template <typename F, Is<Link> T>
void fields(F& f, T& v) {
  f("name", v.name);
  f("a", v.a);
  f("b", v.b);
  f("model", v.model);
  f("distance_m", v.distance_m);
  f("floor_ns", v.floor_ns);
  f("a_to_b", v.a_to_b);
  f("b_to_a", v.b_to_a);
  f("seed", v.seed);
  f("kind", v.kind);
  f.index("medium", v.medium);
}
template <typename F, Is<Subscription> T>
void fields(F& f, T& v) {
  f("filter", v.filter);
  f("replay", v.replay);
  f("at_ns", v.at_ns);
  f("until_ns", v.until_ns);
}
template <typename F, Is<Process> T>
void fields(F& f, T& v) {
  f("name", v.name);
  f("kind", v.kind);
  f("node", v.node);
  f("tenant", v.tenant);
  f("id", v.id);
  f("port", v.port);
  f.index("broker", v.broker);
  f("peers", v.peers);
  f("send_rate_bps", v.send_rate_bps);
  f("limits", v.limits);
  f("start_ns", v.start_ns);
  f("heartbeat_idle_ns", v.heartbeat_idle_ns);
  f("detach_ns", v.detach_ns);
  f("detach_bytes", v.detach_bytes);
  f("subscriptions", v.subscriptions);
  f("clock_offset_ns", v.clock_offset_ns);
  f("peer_roles", v.peer_roles);
}
template <typename F, Is<Topic> T>
void fields(F& f, T& v) {
  f("name", v.name);
  f("tenant", v.tenant);
  f("class", v.klass);
  f("lane", v.lane);
  f("family", v.family);
  f("group", v.group);
  f("replicas", v.replicas);
  f("deadline_ns", v.deadline_ns);
  f("retain_ns", v.retain_ns);
  f("retain_bytes", v.retain_bytes);
  f("fec_data", v.fec_data);
  f("fec_parity", v.fec_parity);
}
template <typename F, Is<Waypoint> T>
void fields(F& f, T& v) {
  f("lat_udeg", v.lat_udeg);
  f("lon_udeg", v.lon_udeg);
}
template <typename F, Is<Load> T>
void fields(F& f, T& v) {
  f("name", v.name);
  f("kind", v.kind);
  f("interval_ns", v.interval_ns);
  f("size_bytes", v.size_bytes);
  f("start_ns", v.start_ns);
  f("end_ns", v.end_ns);
  f("count", v.count);
  f("seed", v.seed);
  f("lanes", v.lanes);
  f("file", v.file);
  f("sha256", v.sha256);
  f("speed_permille", v.speed_permille);
}
template <typename F, Is<Stream> T>
void fields(F& f, T& v) {
  f("load", v.load);
  f("process", v.process);
  f("topic", v.topic);
  f("index", v.index);
}
template <typename F, Is<Fault> T>
void fields(F& f, T& v) {
  f("name", v.name);
  f("kind", v.kind);
  f("at_ns", v.at_ns);
  f("until_ns", v.until_ns);
  f("links", v.links);
  f("way", v.way);
  f("processes", v.processes);
  f("overlay", v.overlay);
  f("impairments", v.impairments);
  f("replaces", v.replaces);
  f("skew_ns", v.skew_ns);
  f("skew_ppb", v.skew_ppb);
  f("count", v.count);
}
template <typename F, Is<Expectation> T>
void fields(F& f, T& v) {
  f("name", v.name);
  f("kind", v.kind);
  f("filter", v.filter);
  f.index("tenant", v.tenant);
  f("percentile_permyriad", v.percentile_permyriad);
  f("limit", v.limit);
  f("where", v.where);
  f("after_ns", v.after_ns);
  f("until_ns", v.until_ns);
  f("base_after_ns", v.base_after_ns);
  f("base_until_ns", v.base_until_ns);
  f.index("link", v.link);
  f("way", v.way);
  f("reference", v.reference);
  f("between", v.between);
}
template <typename F, Is<Calibration> T>
void fields(F& f, T& v) {
  f("name", v.name);
  f("source", v.source);
  f("per_datagram_in_ns", v.per_datagram_in_ns);
  f("per_datagram_out_ns", v.per_datagram_out_ns);
  f("per_message_in_ns", v.per_message_in_ns);
  f("per_message_out_ns", v.per_message_out_ns);
  f("per_timer_ns", v.per_timer_ns);
  f("per_kib_ns", v.per_kib_ns);
  f.unless("per_sealed_datagram_ns", v.per_sealed_datagram_ns, 0);
  f.unless("per_sealed_kib_ns", v.per_sealed_kib_ns, 0);
  f("sha256", v.sha256);
}
template <typename F, Is<Input> T>
void fields(F& f, T& v) {
  f("file", v.file);
  f("sha256", v.sha256);
}
template <typename F, Is<Plan> T>
void fields(F& f, T& v) {
  f("version", v.version);
  f("name", v.name);
  f("title", v.title);
  f("scenario_sha256", v.scenario_sha256);
  f("seed", v.seed);
  f("duration_ns", v.duration_ns);
  f("settle_ns", v.settle_ns);
  f("drain_ns", v.drain_ns);
  f("convergence_ns", v.convergence_ns);
  f("convergence", v.convergence);
  f("overlay", v.overlay);
  f("fragment_bytes", v.fragment_bytes);
  f.unless("security", v.security, Security::plain);
  f("harbours", v.harbours);
  f("tenants", v.tenants);
  f("nodes", v.nodes);
  f("media", v.media);
  f("links", v.links);
  f("processes", v.processes);
  f("topics", v.topics);
  f("loads", v.loads);
  f("streams", v.streams);
  f("faults", v.faults);
  f("expectations", v.expectations);
  f("calibration", v.calibration);
  f("inputs", v.inputs);
}

class Writer {
 public:
  template <typename T>
  void operator()(const char* name, const T& value) {
    object_[name] = write(value);
  }
  // Came later than the plans that do without it: left out where it is as it was.
  template <typename T>
  void unless(const char* name, const T& value, std::type_identity_t<T> usual) {
    if (value != usual) object_[name] = write(value);
  }
  void index(const char* name, Index value) { object_[name] = value == kNone ? json(nullptr) : json(value); }

  template <typename T>
  static json write(const T& value) {
    if constexpr (std::is_enum_v<T>) {
      return std::string(Names<T>::all[static_cast<std::size_t>(value)]);
    } else if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, std::string>) {
      return value;
    } else if constexpr (requires { value.begin(); }) {
      json array = json::array();
      for (const auto& item : value) array.push_back(write(item));
      return array;
    } else {
      Writer writer;
      fields(writer, value);
      return std::move(writer.object_);
    }
  }

 private:
  json object_ = json::object();
};

// Reads a document that the schema has passed: every field is there and has the right JSON type. What the schema cannot
// say in C++'s terms is whether an integer fits the field; the first that does not stops the reading.
class Reader {
 public:
  Reader(const json& object, std::string pointer, std::string& fault)
      : object_(object), pointer_(std::move(pointer)), fault_(fault) {}

  template <typename T>
  void operator()(const char* name, T& value) {
    read(object_.at(name), pointer_ + "/" + name, value);
  }
  template <typename T>
  void unless(const char* name, T& value, std::type_identity_t<T> usual) {
    value = usual;
    if (object_.contains(name)) (*this)(name, value);
  }
  void index(const char* name, Index& value) {
    const json& item = object_.at(name);
    if (item.is_null()) {
      value = kNone;
    } else {
      read(item, pointer_ + "/" + name, value);
    }
  }

  template <typename T>
  void read(const json& from, const std::string& pointer, T& value) {
    if constexpr (std::is_enum_v<T>) {
      const auto& text = from.get_ref<const std::string&>();
      const auto* found = std::find(std::begin(Names<T>::all), std::end(Names<T>::all), text);
      if (found == std::end(Names<T>::all)) return report(pointer, "unknown value \"" + text + "\"");
      value = static_cast<T>(found - std::begin(Names<T>::all));
    } else if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::string>) {
      value = from.get<T>();
    } else if constexpr (std::is_integral_v<T>) {
      // A JSON integer is read as unsigned when it is not negative.
      bool fits = false;
      if (from.is_number_unsigned()) {
        const auto number = from.get<std::uint64_t>();
        fits = std::in_range<T>(number);
        if (fits) value = static_cast<T>(number);
      } else if (from.is_number_integer()) {
        const auto number = from.get<std::int64_t>();
        fits = std::in_range<T>(number);
        if (fits) value = static_cast<T>(number);
      }
      if (!fits) report(pointer, "is out of range");
    } else if constexpr (requires { value.begin(); }) {
      value.resize(from.size());
      for (std::size_t i = 0; i < from.size(); ++i) read(from[i], pointer + "/" + std::to_string(i), value[i]);
    } else {
      Reader reader(from, pointer, fault_);
      fields(reader, value);
    }
  }

 private:
  void report(const std::string& pointer, const std::string& what) {
    if (fault_.empty()) fault_ = pointer + ": " + what;
  }

  const json& object_;
  std::string pointer_;
  std::string& fault_;
};

}  // namespace

std::string to_json(const Plan& plan) {
  return Writer::write(plan).dump(2) + "\n";
}

Expected<Plan> from_json(const std::string& text, const std::string& path) {
  try {
    const json document = json::parse(text);
    // An older or newer plan would fail the schema in many places; say the one thing that matters.
    if (document.is_object() && document.contains("version") && document["version"].is_number_integer() &&
        document["version"] != kVersion) {
      return fail(Exit::usage, path,
                  "/version: is " + document["version"].dump() + ", this program reads plans of version " +
                      std::to_string(kVersion));
    }
    const auto faults = schema_faults(schema_text, document);
    if (!faults.empty()) {
      // valijson tells the outermost first; the innermost names the cause.
      const auto& inner = *std::max_element(faults.begin(), faults.end(), [](const auto& x, const auto& y) {
        return std::count(x.pointer.begin(), x.pointer.end(), '/') <
               std::count(y.pointer.begin(), y.pointer.end(), '/');
      });
      return fail(Exit::usage, path, inner.pointer + ": " + inner.what);
    }
    Plan plan;
    std::string fault;
    Reader(document, "", fault).read(document, "", plan);
    if (fault.empty()) fault = first_inconsistency(plan);
    if (!fault.empty()) return fail(Exit::usage, path, fault);
    return plan;
  } catch (const json::exception& e) {
    return fail(Exit::usage, path, std::string("not a plan: ") + e.what());
  }
}

Expected<Plan> read_plan(const std::string& path) {
  constexpr std::size_t kMaxBytes = std::size_t{512} << 20;  // 1,000 harbours take about 60 MiB
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) return fail(Exit::usage, path, "cannot be opened; name a plan that `portolan plan` wrote");
  std::string text;
  char buffer[65536];
  std::size_t got = 0;
  while ((got = std::fread(buffer, 1, sizeof buffer, file.get())) > 0) {
    text.append(buffer, got);
    if (text.size() > kMaxBytes) return fail(Exit::usage, path, "is larger than 512 MiB, which no plan is");
  }
  if (std::ferror(file.get()) != 0) return fail(Exit::usage, path, "cannot be read");
  return from_json(text, path);
}

}  // namespace portolan::plan
