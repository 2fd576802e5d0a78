#include "sim/lean/client_host.hpp"

#include <xxhash.h>

#include <algorithm>

#include "broker/wire/control.hpp"
#include "scenarios/plan/floor.hpp"
#include "sim/lean/engine_face.hpp"

namespace portolan::sim {

class ClientHost::Face final : public FaceOf<broker::ClientEngine> {
  using FaceOf::FaceOf;
};

ClientHost::ClientHost(World& world, const load::Workload& workload, plan::Index process, std::uint32_t incarnation,
                       std::unique_ptr<Recorder> application, std::unique_ptr<Recorder> audit)
    : Host(world, process, incarnation, world.cores == nullptr ? CpuCost{} : cost_of(plan::charged(world.plan)),
           *audit),
      workload_(workload),
      application_(std::move(application)),
      own_audit_(std::move(audit)) {}

ClientHost::~ClientHost() = default;

EngineFace& ClientHost::engine() {
  return *face_;
}

Expected<std::unique_ptr<ClientHost>> ClientHost::make(World& world, const load::Workload& workload,
                                                       plan::Index process, std::uint32_t incarnation,
                                                       std::unique_ptr<Recorder> application,
                                                       std::unique_ptr<Recorder> audit) {
  const plan::Process& me = world.plan.processes[process];
  broker::Limits limits;
  if (!broker::Limits::by_name(me.limits, limits)) {
    return fail(Exit::usage, "processes/" + std::to_string(process) + "/limits",
                "the simulator knows no limits profile '" + me.limits + "'");
  }
  if (me.limits == "thousand") limits = broker::Limits::thousand_client();
  broker::ClientConfig config;
  config.identity = identity_of(world, process, incarnation);
  config.entropy = entropy_of(world, process, incarnation);
  const broker::Identity broker = identity_of(world, me.broker, 1);
  config.broker = {broker.id, broker.static_public, path_of(world.plan, me.broker)};
  config.session.initiate = true;
  config.session.idle_interval_ns = static_cast<std::uint64_t>(me.heartbeat_idle_ns);
  config.session.rate_bps = me.send_rate_bps;
  config.session.fragment_bytes = world.plan.fragment_bytes;
  config.session.modes = modes_of(world.plan);

  std::unique_ptr<ClientHost> host(
      new ClientHost(world, workload, process, incarnation, std::move(application), std::move(audit)));
  const std::size_t bytes = broker::ClientEngine::bytes_needed(limits);
  host->arena_.reset(new std::uint8_t[bytes]);
  host->engine_ =
      std::make_unique<broker::ClientEngine>(limits, config, std::span<std::uint8_t>(host->arena_.get(), bytes));
  host->face_ = std::make_unique<Face>(*host->engine_);

  for (plan::Index s = 0; s < world.plan.streams.size(); ++s) {
    const plan::Stream& stream = world.plan.streams[s];
    if (stream.process != process) continue;
    auto generator = load::Generator::make(workload, s, incarnation);
    if (!generator) return tl::unexpected<Error>(generator.error());
    const auto first = generator->peek();
    if (first) host->due_.emplace(*first, host->outs_.size());
    host->outs_.push_back(
        {std::move(*generator), stream.topic, 1, broker::wire::topic_hash(world.plan.topics[stream.topic].name)});
  }
  for (std::size_t i = 0; i < me.subscriptions.size(); ++i) {
    host->asked_.push_back({me.subscriptions[i].at_ns, true, i});
    if (me.subscriptions[i].until_ns > 0) host->asked_.push_back({me.subscriptions[i].until_ns, false, i});
  }
  std::stable_sort(host->asked_.begin(), host->asked_.end(),
                   [](const Asked& a, const Asked& b) { return a.at_ns < b.at_ns; });
  return host;
}

void ClientHost::on_start() {
  // A client that comes back asks at once for what it would have asked by now.
  std::vector<bool> gone(me_.subscriptions.size(), false);
  const auto now = static_cast<std::int64_t>(now_ns());
  for (const Asked& a : asked_) {
    if (!a.on && a.at_ns <= now) gone[a.subscription] = true;
  }
  std::erase_if(asked_, [&](const Asked& a) { return gone[a.subscription]; });
  subscribe_due();
  schedule_next();
}

void ClientHost::on_resume() {
  subscribe_due();
  publish_due();
}

void ClientHost::subscribe_due() {
  const auto now_run = static_cast<std::int64_t>(now_ns());
  while (next_asked_ < asked_.size() && asked_[next_asked_].at_ns <= now_run) {
    const Asked asked = asked_[next_asked_++];
    const plan::Subscription& s = me_.subscriptions[asked.subscription];
    record::Row row;
    row.text = application_->text(s.filter);
    row.code = static_cast<std::uint32_t>(s.replay);
    trace_.begin(asked.on ? TraceHash::Step::subscribe : TraceHash::Step::unsubscribe, now());
    trace_.text(s.filter);
    if (asked.on) {
      application_->add(record::Kind::subscribe, row);
      const auto refused = engine_->subscribe(now(), s.filter, static_cast<broker::ReplayMode>(s.replay));
      if (refused != broker::RefuseReason::none) {
        row.code = static_cast<std::uint32_t>(refused);
        application_->add(record::Kind::refused, row);
      }
    } else {
      application_->add(record::Kind::unsubscribe, row);
      engine_->unsubscribe(now(), s.filter);
    }
    after_call();
  }
  if (next_asked_ < asked_.size()) {
    at(static_cast<std::uint64_t>(asked_[next_asked_].at_ns), [this] {
      if (alive() && !paused()) subscribe_due();
    });
  }
}

void ClientHost::schedule_next() {
  if (due_.empty()) return;
  const std::int64_t when = due_.top().first;
  if (when == scheduled_ns_) return;
  scheduled_ns_ = when;
  at(static_cast<std::uint64_t>(when), [this] {
    if (alive() && !paused()) publish_due();
  });
}

void ClientHost::publish_due() {
  const auto now_run = static_cast<std::int64_t>(now_ns());
  while (!due_.empty() && due_.top().first <= now_run) {
    Out& out = outs_[due_.top().second];
    const std::size_t index = due_.top().second;
    due_.pop();
    while (const auto shot = out.generator.next(now_run)) publish(out, *shot);
    if (const auto next = out.generator.peek()) due_.emplace(*next, index);
  }
  schedule_next();
}

void ClientHost::publish(Out& out, const load::Shot& shot) {
  const plan::Topic& topic = world_.plan.topics[out.topic];
  record::Row row;
  row.topic = application_->text(topic.name);
  row.publisher = me_.id;
  row.incarnation = incarnation_;
  row.intended_ns = shot.intended_ns;
  row.sent_ns = static_cast<std::int64_t>(now_ns());
  row.sequence = out.next_sequence;
  if (!workload_.payload(out.topic, process_, incarnation_, out.next_sequence, payload_)) {
    row.code = static_cast<std::uint32_t>(broker::RefuseReason::retry_later);
    application_->add(record::Kind::refused, row);  // more shots than the plan has payloads: never by an honest plan
    return;
  }
  row.hash = XXH3_64bits(payload_.data(), payload_.size());
  row.value = payload_.size();
  const broker::Now t = now();
  trace_.begin(TraceHash::Step::publish, t);
  trace_.text(topic.name);
  trace_.bytes(payload_);
  world_.journeys.published(broker::message_key(out.topic_hash, me_.id, incarnation_, out.next_sequence), process_,
                            static_cast<std::uint64_t>(shot.intended_ns), now_ns());
  const auto published = [&] {
    const EngineTime time;
    return engine_->publish(t, topic.name, static_cast<broker::Lane>(topic.lane), payload_);
  }();
  trace_.number(static_cast<std::uint64_t>(published.refused));
  application_->add(record::Kind::publish, row);
  if (published.refused != broker::RefuseReason::none) {
    row.code = static_cast<std::uint32_t>(published.refused);
    row.value = published.retry_after_ns;
    application_->add(record::Kind::refused, row);
  } else {
    ++out.next_sequence;
  }
  after_call();
}

void ClientHost::upward() {
  broker::Event event;
  broker::Delivery delivery;
  for (bool more = true; more;) {
    more = false;
    while (engine_->poll_event(event)) {
      on_event(event);
      more = true;
    }
    while (engine_->poll_delivery(delivery)) {
      on_delivery(delivery);
      engine_->release_delivery(delivery.handle);
      more = true;
    }
  }
}

void ClientHost::on_event(const broker::Event& event) {
  trace_.begin(TraceHash::Step::event, now());
  trace_.number(static_cast<std::uint64_t>(event.kind));
  trace_.text(event.topic);
  trace_.number(event.publisher);
  trace_.number(event.first);
  trace_.number(event.last);
  trace_.number(event.code);
  record::Row row;
  row.publisher = event.publisher;
  row.incarnation = event.incarnation;
  row.sequence = event.first;
  row.last = event.last;
  row.code = event.code;
  using broker::EventKind;
  if (event.kind == EventKind::subscribed) {
    row = {};
    row.text = application_->text_of(event.topic);
    row.sequence = event.count;
    row.value = cursor_rows_;
    application_->add(record::Kind::subscribed, row);
    return;
  }
  if (event.kind == EventKind::session_up || event.kind == EventKind::session_down) {
    row = {};
    row.publisher = event.peer;
    row.incarnation = event.peer_incarnation;
    row.hash = event.session_uid;
    row.code = event.code;
    application_->add(event.kind == EventKind::session_up ? record::Kind::session_up : record::Kind::session_down, row);
    return;
  }
  if (!event.topic.empty()) row.topic = application_->text_of(event.topic);
  switch (event.kind) {
    case EventKind::cursor:
      row.last = 0;
      ++cursor_rows_;
      application_->add(record::Kind::cursor, row);
      break;
    case EventKind::gap:
      application_->add(record::Kind::gap, row);
      break;
    case EventKind::detached:
      application_->add(record::Kind::detached, row);
      break;
    case EventKind::accepted:
    case EventKind::received:
    case EventKind::refused: {
      const auto kind = event.kind == EventKind::accepted   ? record::Kind::accepted
                        : event.kind == EventKind::received ? record::Kind::received
                                                            : record::Kind::refused;
      row.last = 0;
      row.value = event.retry_after_ns;
      row.publisher = me_.id;
      row.incarnation = incarnation_;
      for (std::uint64_t s = event.first; s <= event.last; ++s) {
        row.sequence = s;
        application_->add(kind, row);
      }
      break;
    }
    default:
      break;
  }
}

std::int64_t ClientHost::floor_to(std::uint64_t publisher) {
  const auto known = floors_.find(publisher);
  if (known != floors_.end()) return known->second;
  std::int64_t floor = 0;
  for (const plan::Process& p : world_.plan.processes) {
    if (p.id != publisher || p.kind != plan::ProcessKind::client || p.tenant != me_.tenant) continue;
    floor = plan::floor_ns(world_.plan.harbours[world_.plan.nodes[p.node].harbour],
                           world_.plan.harbours[world_.plan.nodes[me_.node].harbour]);
  }
  return floors_[publisher] = floor;
}

void ClientHost::on_delivery(const broker::Delivery& delivery) {
  trace_.begin(TraceHash::Step::deliver, now());
  trace_.text(delivery.topic);
  trace_.number(delivery.publisher);
  trace_.number(delivery.incarnation);
  trace_.number(delivery.sequence);
  XXH3_state_t hash;  // over its pieces: a long message is nowhere in one
  XXH3_64bits_reset(&hash);
  for (const auto& piece : delivery.bytes) XXH3_64bits_update(&hash, piece.data(), piece.size());
  record::Row row;
  row.topic = application_->text_of(delivery.topic);
  row.publisher = delivery.publisher;
  row.incarnation = delivery.incarnation;
  row.sequence = delivery.sequence;
  row.hash = XXH3_64bits_digest(&hash);
  row.value = delivery.length;
  trace_.number(row.hash);
  application_->add(record::Kind::deliver, row);

  Parts parts;
  bool repaired = false;
  if (!world_.journeys.deliver(delivery.key, process_, now_ns(), parts, repaired)) {
    ++unsplit_;
    return;
  }
  record::Row split;
  split.flags = repaired ? record::kFlagRepaired : std::uint16_t{0};
  split.topic = audit_.text_of(delivery.topic);
  split.publisher = delivery.publisher;
  split.incarnation = delivery.incarnation;
  split.sequence = delivery.sequence;
  split.intended_ns = parts.propagation_ns;
  split.sent_ns = parts.serialisation_ns;
  split.hash = static_cast<std::uint64_t>(parts.queueing_ns);
  split.value = static_cast<std::uint64_t>(parts.repair_ns);
  split.extra = parts.broker_ns;
  split.code = static_cast<std::uint32_t>(floor_to(delivery.publisher));
  audit_.add(record::Kind::split, split);
}

void ClientHost::on_stop(record::EndCode code) {
  application_->end(code);
}

void ClientHost::extra_counters() {
  const broker::ClientCounters& c = engine_->counters();
  audit_.counter("published", 0, c.published);
  audit_.counter("accepted", 0, c.accepted);
  audit_.counter("received", 0, c.received);
  audit_.counter("client_refused", 0, c.refused);
  audit_.counter("offered_again", 0, c.offered_again);
  audit_.counter("delivered", 0, c.delivered);
  audit_.counter("client_duplicates_dropped", 0, c.duplicates_dropped);
  audit_.counter("before_cursor", 0, c.before_cursor);
  audit_.counter("gaps", 0, c.gaps);
  audit_.counter("unsplit", 0, unsplit_);
  audit_.counter("gap_messages", 0, c.gap_messages);
}

}  // namespace portolan::sim
