// What the stages of the compiler share: the plan so far, the diagnostics, and readers of values that report what is
// wrong and go on, so that one run tells all. Internal to scenarios/compile.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "scenarios/compile/compile.hpp"
#include "scenarios/plan/plan.hpp"
#include "scenarios/read/diagnostics.hpp"
#include "scenarios/read/fields.hpp"
#include "scenarios/read/quantity.hpp"
#include "scenarios/read/tree.hpp"

namespace portolan::compile {

using read::Diagnostics;
using read::join;
using read::kMaxFileBytes;
using read::listed;
using read::Map;
using read::nearest;
using read::Position;
using read::read_coordinates;
using read::read_count;
using read::read_quantity;
using read::show_rate;
using read::show_size;
using read::show_time;
using read::suggest;
using read::to_json;
using read::Tree;
using read::Unit;

using plan::Index;
using plan::kNone;
using plan::Ns;

// Brokers that all hold sessions with each other, which grow with the square: beyond it a harbour names a hub.
inline constexpr std::size_t kMeshMost = 64;

// The parameters of a link, before distance makes a delay of them.
struct LinkModel {
  std::string name;
  Ns delay_ns = 0;
  std::int64_t delay_ps_per_km = 0;
  bool delay_given = false;       // in a link: stands in place of the model's
  plan::Impairments impairments;  // delay_ns unused
  Ns queue_time_ns = 0;           // a queue given in time at the link's rate; 0: impairments.queue.bytes counts
};

// One topic entry of the scenario, before loads make topics of it.
struct TopicEntry {
  std::string pattern;      // "ais/{vessel}/position"
  std::string family;       // "ais/+/position"
  std::string placeholder;  // "vessel", or empty
  bool per_harbour = false;
  Position at;
  plan::Topic settings;
  std::vector<Index> tenants;
  bool loaded = false;
};

// A harbour's access network, for clients on machines of their own.
struct Access {
  plan::LinkKind kind = plan::LinkKind::model;
  LinkModel model;             // model and point-to-point
  std::uint64_t rate_bps = 0;  // csma
  Ns delay_ns = 0;             // csma
  plan::Wifi wifi;
  std::vector<Index> medium;  // by tenant, kNone until a station needs it
};
// How a client uses it.
struct AccessUse {
  std::uint64_t within_mm = 0;
  std::uint32_t speed_mm_s = 0;
};

struct ClientEntry {
  std::string name;
  std::vector<Index> processes;  // by tenant, then harbour
};

struct Context : read::Reader {
  Context(Diagnostics& diagnostics, const Tree& tree, std::string folder_of_file)
      : Reader{diagnostics}, root(tree), folder(std::move(folder_of_file)) {}

  const Tree& root;
  std::string folder;     // of the scenario, with its slash
  std::string file_name;  // of the scenario, without folder
  bool fragment_given = false;
  plan::Plan plan;

  std::map<std::string, Index> harbours;
  std::map<std::string, Index> tenants;
  std::map<std::string, LinkModel> models;
  std::map<std::string, Index> links;  // by "a--b" as written
  std::map<std::string, ClientEntry> clients;
  std::map<std::string, Index> processes;  // by full name
  std::vector<TopicEntry> topics;
  std::vector<const Tree::Entry*> harbour_entries;        // of each harbour, for what needs others to be known
  std::vector<std::optional<Access>> access;              // of each harbour
  std::vector<std::uint32_t> next_address, last_address;  // of each tenant
  std::vector<Index> edge;                                // of each harbour
  std::vector<std::vector<Index>> service;                // [harbour][tenant], kNone where the tenant is absent
  std::vector<std::string> topic_key;                     // of the plan's topics: "topics.ais/{vessel}/position"
  std::vector<std::string> limits_said;  // by process: the key that chose its limits; empty: chosen for it
  std::vector<Position> link_at, process_at, fault_at, load_at, topic_at,
      expect_at;  // of the plan's items, for messages
  std::map<std::string, std::string> input_hashes;
  std::map<std::pair<Index, std::string>, Index> topic_names;  // (tenant, name)
  std::set<std::pair<Index, Index>> published;                 // (process, topic) that have a stream

  // Each reports and answers nothing when the value is wrong.
  std::optional<Index> harbour(const Tree& value, const std::string& key);
  // `all`, one name or a list; repeated names are reported.
  std::vector<Index> harbour_list(const Tree& value, const std::string& key);
  std::vector<Index> tenant_list(const Tree* value, const std::string& key);
  // The text of a file that the scenario names, noted as an input of the plan.
  std::optional<std::string> input_file(const Tree& value, const std::string& key);

  std::vector<std::string> harbour_names() const;
};

inline constexpr Ns kLoopbackNs = 15'000;  // two processes of one host: half of a bare round trip less its wake-ups
std::string show_address(std::uint32_t address);
// Reports and answers false when it is not a name of ours (harbour, tenant, client).
bool valid_name(Context& c, const std::string& name, Position at, const std::string& key);

std::string sha256_hex(std::string_view bytes);
// Distance over two thirds of the speed of light, rounded down so that it never exceeds the truth.
Ns floor_of(std::uint64_t distance_m);
std::uint64_t distance_between(const plan::Harbour& a, const plan::Harbour& b);

// Shortest paths by delay between harbours, as the runners route.
class Paths {
 public:
  explicit Paths(const plan::Plan& plan);
  struct Step {
    Index link = kNone;
    bool forward = true;  // a to b
  };
  // From one harbour to another; empty when there is no path (or they are the same).
  std::vector<Step> path(Index from, Index to) const;
  // 0: unlimited; of a trace: the mean.
  static std::uint64_t rate_bps(const plan::Impairments& impairments);
  Ns delay(Index from, Index to) const { return delay_[from][to]; }  // -1: none
  std::size_t harbours() const { return delay_.size(); }

 private:
  const plan::Plan& plan_;
  std::vector<std::vector<Ns>> delay_;
  std::vector<std::vector<Step>> last_;  // the step that enters [from][to]
};

// What each stream of the plan publishes. Replayed files are found from `folder`.
struct LoadRate {
  double messages = 0;    // in all
  double bytes = 0;       // of each, mean
  double per_second = 0;  // while its load lasts
};
std::vector<LoadRate> stream_rates(const plan::Plan& plan, const std::string& folder);
// The name of a harbour's hub; its own where it has none.
const std::string& hub_name(const Context& c, Index harbour);
// The sessions between brokers that a stream uses: each (from, to) once, however many it leads to.
std::set<std::pair<Index, Index>> broker_sessions(const plan::Plan& plan, Index home,
                                                  const std::vector<Index>& receivers);
// Subscribing clients of each stream's topic, in order of process.
std::vector<std::vector<Index>> receivers(const plan::Plan& plan);

// The processes that a reference names: CLIENT, HARBOUR, HARBOUR/CLIENT, HARBOUR/broker, HARBOUR/TENANT[/...]; reports
// when there is none.
std::vector<Index> resolve_processes(Context& c, const Tree& value, const std::string& key);
// The topic of that name, made from the entry when it is new.
Index add_topic(Context& c, const TopicEntry& entry, Index tenant, const std::string& name);

// The stages, in this order.
void read_header(Context& c, const Options& options);
void read_harbours(Context& c);
void resolve_hubs(Context& c);
void read_tenants(Context& c);
void read_models(Context& c);
void read_access(Context& c);
void read_links(Context& c);
void set_mtus(Context& c);
void make_brokers(Context& c);
void join_brokers(Context& c);
void read_clients(Context& c);
void read_topics(Context& c);
void read_loads(Context& c);
void read_faults(Context& c);
void read_expectations(Context& c);
void read_calibration(Context& c);
void check_sense(Context& c);

// generate.cpp: writes out what `harbours: {generate: ...}` stands for; false when that is wrong.
bool generate(Context& c, Tree& root);
bool fits_schema(const Tree& tree);

// convergence.cpp: `convergence` of the head.
void read_convergence(Context& c, const Map& top);
// access.cpp: how a client uses its harbour's access network, and the machine of its own that it then gets.
AccessUse read_access_use(Context& c, const Tree& value, const std::string& key);
Index add_station(Context& c, Index harbour, Index tenant, const std::string& name, const AccessUse& use, Position at);
// links.cpp, also for `degrade`: reads the fields that are there and names them in `given`.
extern const std::vector<std::string> kImpairmentKeys;
void read_impairments(Context& c, const Map& map, LinkModel& model, std::vector<std::string>* given);
// Resolves what depends on the rate.
void finish_impairments(LinkModel& model);
void add_presets(Context& c);
// Link by "a -- b" or "a -> b" in either order, or all uplinks of a harbour.
std::optional<std::string> link_name(std::string_view text, std::string& a, std::string& b, bool& one_way);

}  // namespace portolan::compile
