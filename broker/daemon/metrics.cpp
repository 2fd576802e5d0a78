#include "broker/daemon/metrics.hpp"

#include <dirent.h>
#include <prometheus/client_metric.h>
#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>
#include <prometheus/metric_type.h>
#include <unistd.h>

#include <ctime>
#include <fstream>
#include <limits>
#include <mutex>
#include <string_view>
#include <utility>

namespace portolan::daemon {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

double number(std::uint64_t value) {
  return static_cast<double>(value);
}
double seconds(std::uint64_t ns) {
  return static_cast<double>(ns) / 1e9;
}

// Builds families in order; a family's samples follow its name.
class Page {
 public:
  void family(const char* name, const char* help, MetricType type) {
    families_.emplace_back();
    families_.back().name = name;
    families_.back().help = help;
    families_.back().type = type;
  }
  void counter(const char* name, const char* help) { family(name, help, MetricType::Counter); }
  void gauge(const char* name, const char* help) { family(name, help, MetricType::Gauge); }
  void add(double value, Labels labels = {}) {
    ClientMetric metric;
    metric.label = std::move(labels);
    if (families_.back().type == MetricType::Counter) {
      metric.counter.value = value;
    } else {
      metric.gauge.value = value;
    }
    families_.back().metric.push_back(std::move(metric));
  }
  void add(ClientMetric metric) { families_.back().metric.push_back(std::move(metric)); }
  void counter(const char* name, const char* help, std::uint64_t value) {
    counter(name, help);
    add(number(value));
  }
  void gauge(const char* name, const char* help, double value) {
    gauge(name, help);
    add(value);
  }
  std::vector<MetricFamily> take() { return std::move(families_); }

 private:
  std::vector<MetricFamily> families_;
};

std::string label_of(const Sample& sample, std::size_t at) {
  return at < sample.topics.size() && at + 1 < sample.engine->topic_counters().size()
             ? std::string(sample.topics[at].filter)
             : "(other)";
}

ClientMetric histogram_of(const broker::TopicCounters& c, std::string topic) {
  using Counters = broker::TopicCounters;
  ClientMetric metric;
  metric.label.push_back({"topic", std::move(topic)});
  metric.histogram.sample_count = c.delivered;
  metric.histogram.sample_sum = seconds(c.delivered_sum_ns);
  std::uint64_t below = 0;
  for (std::uint32_t i = 0; i < Counters::kBuckets; ++i) {
    below += c.delivered_within[i];
    const double bound = i + 1 == Counters::kBuckets ? std::numeric_limits<double>::infinity()
                                                     : seconds(std::uint64_t{1} << (Counters::kLeastBits + i));
    metric.histogram.bucket.push_back({below, bound});
  }
  return metric;
}

void topics(Page& page, const Sample& sample) {
  const std::span<const broker::TopicCounters> counters = sample.engine->topic_counters();
  const auto each = [&](const char* name, const char* help, std::uint64_t broker::TopicCounters::*field) {
    page.counter(name, help);
    for (std::size_t i = 0; i < counters.size(); ++i)
      page.add(number(counters[i].*field), {{"topic", label_of(sample, i)}});
  };
  using C = broker::TopicCounters;
  each("portolan_messages_received_total",
       "Messages from publishers here and from other brokers, duplicates not counted.", &C::messages_in);
  each("portolan_message_bytes_received_total", "Their payload bytes.", &C::bytes_in);
  each("portolan_messages_sent_total", "Messages handed to sessions, one for each subscriber or broker.",
       &C::messages_out);
  each("portolan_message_bytes_sent_total", "Their payload bytes.", &C::bytes_out);
  each("portolan_messages_refused_total", "Messages refused whole.", &C::refused);
  each("portolan_gap_messages_total", "Messages that a client was told will never come.", &C::gaps_told);
  page.family(
      "portolan_delivery_seconds",
      "From a message's arrival at this broker until every subscriber and broker that it was owed had acknowledged it.",
      MetricType::Histogram);
  for (std::size_t i = 0; i < counters.size(); ++i) page.add(histogram_of(counters[i], label_of(sample, i)));
}

void sessions(Page& page, const Sample& sample) {
  const broker::EngineCounters& c = sample.engine->counters();
  page.gauge("portolan_sessions", "Sessions that stand, of clients and brokers.", number(sample.sessions));
  page.counter("portolan_detached_total", "Subscribers and brokers let go for falling behind their bound.", c.detached);
  page.counter("portolan_resumed_total", "Those that came back and resumed.", c.resumed);
  page.counter("portolan_duplicates_dropped_total", "Messages that had come before.", c.duplicates_dropped);
  page.counter("portolan_interest_mended_total", "Divergences of interest that a heartbeat found.", c.interest_mended);
  page.gauge("portolan_retained_messages", "Messages kept, for who comes late or falls behind.",
             number(c.retained_messages));
  page.gauge("portolan_retained_bytes", "Their payload bytes.", number(c.retained_bytes));
}

void wire(Page& page, const Sample& sample) {
  const broker::EndpointCounters& c = sample.engine->endpoint_counters();
  page.counter("portolan_datagrams_received_total", "Datagrams from the network.", c.datagrams_in);
  page.counter("portolan_datagrams_sent_total", "Datagrams to the network.", c.datagrams_out);
  page.counter("portolan_datagram_bytes_received_total", "Their bytes, UDP payload.", c.bytes_in);
  page.counter("portolan_datagram_bytes_sent_total", "Their bytes, UDP payload.", c.bytes_out);
  page.counter("portolan_packets_lost_total", "Packets that the other side reports missing.", c.packets_lost);
  page.counter("portolan_repair_datagrams_total", "Datagrams sent again.", c.repair_datagrams);
  page.counter("portolan_repair_bytes_total", "Their bytes.", c.repair_bytes);
  page.counter("portolan_spurious_repairs_total", "Sent again though nothing was lost.", c.spurious_repairs);
  page.counter("portolan_grants_total", "Credit for segments of long messages, by slot class.");
  for (std::size_t i = 0; i < PTL_CLASSES; ++i) {
    const char* cls = i == 0 ? "small" : "large";
    page.add(number(c.grants_given[i]), {{"slots", cls}, {"what", "given"}});
    page.add(number(c.grants_taken_back[i]), {{"slots", cls}, {"what", "taken_back"}});
  }
  page.counter("portolan_drops_total", "Datagrams and messages dropped, by reason.");
  for (std::size_t i = 1; i < std::size(c.drops); ++i) {
    page.add(number(c.drops[i]), {{"reason", broker::name_of(static_cast<broker::Drop>(i))}});
  }
  page.counter("portolan_socket_lost_total", "Datagrams lost between engine and wire, by reason.");
  for (std::size_t i = 0; i < sample.sockets.lost.size(); ++i) {
    page.add(number(sample.sockets.lost[i]), {{"reason", udp::name_of(static_cast<udp::Loss>(i))}});
  }
}

void pools(Page& page, const Sample& sample) {
  broker::Endpoint::HighWater pools[64];
  const std::uint32_t count = sample.engine->high_water(pools);
  const std::span<const broker::Endpoint::HighWater> all(pools, std::min<std::size_t>(count, std::size(pools)));
  page.gauge("portolan_pool_used_most",
             "The most that was in use of each bounded pool (slots, messages, sessions ...).");
  for (const auto& p : all) page.add(number(p.used_most), {{"pool", p.name}});
  page.gauge("portolan_pool_bound", "How many there are.");
  for (const auto& p : all) page.add(number(p.bound), {{"pool", p.name}});
  page.gauge("portolan_memory_bytes", "Taken for the engine at start; it never takes more.",
             number(sample.memory_bytes));
}

// The names that every exporter has (https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics).
void process(Page& page, double started) {
  timespec cpu{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  page.counter("process_cpu_seconds_total", "User and system CPU time.");
  page.add(static_cast<double>(cpu.tv_sec) + static_cast<double>(cpu.tv_nsec) / 1e9);
  std::uint64_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  const auto page_bytes = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  page.gauge("process_resident_memory_bytes", "Resident memory.", number(resident * page_bytes));
  page.gauge("process_virtual_memory_bytes", "Address space.", number(total * page_bytes));
  page.gauge("process_start_time_seconds", "Start, since the epoch.", started);
  if (DIR* open = opendir("/proc/self/fd"); open != nullptr) {
    std::uint64_t count = 0;
    while (readdir(open) != nullptr) ++count;
    closedir(open);
    page.gauge("process_open_fds", "Open file descriptors.", number(count > 3 ? count - 3 : 0));  // ., .. and this one
  }
}

double wall_seconds() {
  timespec t{};
  clock_gettime(CLOCK_REALTIME, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

class Latest final : public prometheus::Collectable {
 public:
  std::vector<MetricFamily> Collect() const override {
    const std::lock_guard lock(mutex_);
    return families_;
  }
  void set(std::vector<MetricFamily> families) {
    const std::lock_guard lock(mutex_);
    families_.swap(families);
  }

 private:
  mutable std::mutex mutex_;
  std::vector<MetricFamily> families_;
};

}  // namespace

struct Metrics::State {
  State(const std::string& address, About about_) : about(std::move(about_)), exposer(address, 2) {}
  About about;
  double started = wall_seconds();
  std::shared_ptr<Latest> latest = std::make_shared<Latest>();
  prometheus::Exposer exposer;
};

Metrics::Metrics(std::unique_ptr<State> state) : s_(std::move(state)) {}
Metrics::~Metrics() = default;

Expected<std::unique_ptr<Metrics>> Metrics::serve(const std::string& address, About about) {
  try {
    auto state = std::make_unique<State>(address, std::move(about));
    state->exposer.RegisterCollectable(state->latest);
    return std::unique_ptr<Metrics>(new Metrics(std::move(state)));
  } catch (const std::exception& why) {
    return fail(Exit::cannot, "metrics.listen", "cannot listen on " + address + ": " + why.what());
  }
}

void Metrics::take(const Sample& sample) {
  Page page;
  page.gauge("portolan_broker_info", "Who this is.");
  page.add(1, {{"name", s_->about.name},
               {"id", std::to_string(s_->about.id)},
               {"incarnation", std::to_string(s_->about.incarnation)},
               {"version", s_->about.version}});
  topics(page, sample);
  sessions(page, sample);
  wire(page, sample);
  pools(page, sample);
  process(page, s_->started);
  s_->latest->set(page.take());
}

}  // namespace portolan::daemon
