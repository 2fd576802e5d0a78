#include "sim/lean/broker_host.hpp"

#include <algorithm>

#include "scenarios/plan/topic_rules.hpp"
#include "sim/lean/engine_face.hpp"

namespace portolan::sim {

class BrokerHost::Face final : public FaceOf<broker::Engine> {
  using FaceOf::FaceOf;
};

BrokerHost::BrokerHost(World& world, plan::Index process, std::uint32_t incarnation, const CpuCost& cost,
                       std::unique_ptr<Recorder> audit)
    : Host(world, process, incarnation, cost, *audit), own_audit_(std::move(audit)) {}

BrokerHost::~BrokerHost() = default;

namespace {

broker::PeerRole role_of(plan::PeerRole role) {
  switch (role) {
    case plan::PeerRole::mesh:
      return broker::PeerRole::mesh;
    case plan::PeerRole::hub:
      return broker::PeerRole::hub;
    case plan::PeerRole::standby:
      return broker::PeerRole::standby;
    case plan::PeerRole::leaf:
      return broker::PeerRole::leaf;
    case plan::PeerRole::standby_leaf:
      return broker::PeerRole::standby_leaf;
  }
  return broker::PeerRole::mesh;
}

BrokerHost::Rules rules_of(const plan::Plan& plan, plan::Index tenant) {
  BrokerHost::Rules out;
  const std::vector<plan::TopicRule> rules = plan::topic_rules(plan, tenant);
  for (const plan::TopicRule& rule : rules) out.filters.push_back(rule.filter);
  for (std::size_t i = 0; i < rules.size(); ++i) {
    out.rules.push_back({out.filters[i], static_cast<broker::Lane>(rules[i].lane),
                         static_cast<std::uint64_t>(rules[i].retain_ns), rules[i].retain_bytes});
  }
  return out;
}

}  // namespace

Expected<std::unique_ptr<BrokerHost>> BrokerHost::make(World& world, plan::Index process, std::uint32_t incarnation,
                                                       const CpuCost& cost, std::unique_ptr<Recorder> audit) {
  const plan::Process& me = world.plan.processes[process];
  broker::Limits limits;
  if (!broker::Limits::by_name(me.limits, limits)) {
    return fail(Exit::usage, "processes/" + std::to_string(process) + "/limits",
                "the simulator knows no limits profile '" + me.limits + "'");
  }
  std::unique_ptr<BrokerHost> host(new BrokerHost(world, process, incarnation, cost, std::move(audit)));
  const auto is_hub = [](plan::PeerRole role) {
    return role == plan::PeerRole::leaf || role == plan::PeerRole::standby_leaf;
  };
  if (me.limits == "thousand" && std::any_of(me.peer_roles.begin(), me.peer_roles.end(), is_hub)) {
    limits = broker::Limits::thousand_hub();
  }
  for (std::size_t i = 0; i < me.peers.size(); ++i) {
    const plan::Index p = me.peers[i];
    const broker::Identity identity = identity_of(world, p, 1);
    const auto role = i < me.peer_roles.size() ? me.peer_roles[i] : plan::PeerRole::mesh;
    host->peers_.push_back({identity.id, identity.static_public, path_of(world.plan, p), role_of(role)});
  }
  host->rules_ = rules_of(world.plan, me.tenant);
  broker::EngineConfig config;
  config.identity = identity_of(world, process, incarnation);
  config.entropy = entropy_of(world, process, incarnation);
  config.peers = host->peers_;
  config.broker_sessions.idle_interval_ns = static_cast<std::uint64_t>(me.heartbeat_idle_ns);
  config.broker_sessions.rate_bps = me.send_rate_bps;
  config.broker_sessions.fragment_bytes = world.plan.fragment_bytes;
  config.broker_sessions.modes = modes_of(world.plan);
  config.client_sessions = config.broker_sessions;
  for (const plan::Process& other : world.plan.processes) {
    if (other.kind == plan::ProcessKind::client && other.broker == process) {
      config.client_sessions.idle_interval_ns = static_cast<std::uint64_t>(other.heartbeat_idle_ns);
      break;
    }
  }
  config.topics = host->rules_.rules;
  config.detach_ns = static_cast<std::uint64_t>(me.detach_ns);
  config.detach_bytes = me.detach_bytes;

  const std::size_t bytes = broker::Engine::bytes_needed(limits);
  host->arena_.reset(new std::uint8_t[bytes]);
  host->engine_ = std::make_unique<broker::Engine>(limits, config, std::span<std::uint8_t>(host->arena_.get(), bytes));
  host->face_ = std::make_unique<Face>(*host->engine_);
  return host;
}

EngineFace& BrokerHost::engine() {
  return *face_;
}

void BrokerHost::upward() {
  broker::Event event;
  while (engine_->poll_event(event)) {
    trace_.begin(TraceHash::Step::event, now());
    trace_.number(static_cast<std::uint64_t>(event.kind));
    trace_.number(event.peer);
    trace_.number(event.session_uid);
    trace_.number(event.code);
    record::Row row;
    row.publisher = event.peer;
    row.incarnation = event.peer_incarnation;
    row.code = event.code;
    row.hash = event.session_uid;
    switch (event.kind) {
      case broker::EventKind::session_up:
        audit_.add(record::Kind::peer_up, row);
        break;
      case broker::EventKind::session_down:
        audit_.add(record::Kind::peer_down, row);
        break;
      case broker::EventKind::detached:
        audit_.add(record::Kind::detached, row);
        break;
      default:
        break;
    }
  }
}

void BrokerHost::extra_counters() {
  const broker::EngineCounters& c = engine_->counters();
  audit_.counter("published_in", 0, c.published_in);
  audit_.counter("forwarded_in", 0, c.forwarded_in);
  audit_.counter("delivered_out", 0, c.delivered_out);
  audit_.counter("duplicates_dropped", 0, c.duplicates_dropped);
  for (std::uint32_t r = 1; r < 8; ++r) {
    audit_.counter("refused", r, c.refused[r]);
    audit_.counter("gaps_told", r, c.gaps_told[r]);
  }
  audit_.counter("detached", 0, c.detached);
  audit_.counter("resumed", 0, c.resumed);
  audit_.counter("interest_mended", 0, c.interest_mended);
  audit_.counter("retention_expired", 0, c.retention_expired);
  audit_.counter("sent_through", 0, c.sent_through);
  audit_.counter("through_broken", 0, c.through_broken);
  audit_.counter("through_taken_back", 0, c.through_taken_back);
}

}  // namespace portolan::sim
