#include "emu/load/load_client.hpp"

#include <poll.h>
#include <sodium/crypto_hash_sha256.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <iterator>

#include "broker/udp/clock.hpp"

namespace portolan::emu {

namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
volatile std::sig_atomic_t g_stop = 0;

}  // namespace

plan::Ns LoadClient::now() const {
  return static_cast<plan::Ns>(udp::monotonic_ns() - options_.epoch_ns);
}

Expected<void> LoadClient::run(const LoadOptions& options) {
  const auto plan = plan::read_plan(options.plan_path);
  if (!plan) return tl::unexpected<Error>(plan.error());
  const auto at = std::find_if(plan->processes.begin(), plan->processes.end(), [&](const plan::Process& p) {
    return p.name == options.process && p.kind == plan::ProcessKind::client;
  });
  if (at == plan->processes.end()) {
    return fail(Exit::usage, options.plan_path, "the plan has no client \"" + options.process + "\"");
  }
  auto workload = load::Workload::make(*plan, options.replay_folder);
  if (!workload) return tl::unexpected<Error>(workload.error());
  LoadClient client(options, *plan, *workload, static_cast<plan::Index>(at - plan->processes.begin()));
  for (auto step : {&LoadClient::open_records, &LoadClient::make_load, &LoadClient::connect, &LoadClient::loop}) {
    if (auto done = (client.*step)(); !done) return done;
  }
  return client.finish();
}

Expected<void> LoadClient::open_records() {
  std::ifstream in(options_.plan_path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  std::array<std::uint8_t, 32> sha256{};
  crypto_hash_sha256(sha256.data(), reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  std::string stem = me_.name;
  std::replace(stem.begin(), stem.end(), '/', '_');
  stem = options_.records + "/" + stem + "." + std::to_string(options_.incarnation);
  const auto header = [&](record::Writer writer) {
    return record::make_header(writer, process_, me_.id, options_.incarnation, me_.node, me_.name, plan_.seed, sha256);
  };
  auto application = record::RecordWriter::create(stem + ".app.rec", header(record::Writer::application));
  if (!application) return tl::unexpected<Error>(application.error());
  auto audit = record::Journal::create(stem + ".audit.rec", header(record::Writer::audit));
  if (!audit) return tl::unexpected<Error>(audit.error());
  auto words = record::LastWords::create(stem + ".audit.rec.last");
  if (!words) return tl::unexpected<Error>(words.error());
  application_ = std::move(*application);
  audit_ = std::move(*audit);
  words_ = std::move(*words);
  return {};
}

Expected<void> LoadClient::make_load() {
  for (plan::Index s = 0; s < plan_.streams.size(); ++s) {
    if (plan_.streams[s].process != process_) continue;
    auto generator = load::Generator::make(workload_, s, options_.incarnation);
    if (!generator) return tl::unexpected<Error>(generator.error());
    if (const auto first = generator->peek()) due_.emplace(*first, outs_.size());
    outs_.push_back({std::move(*generator), plan_.streams[s].topic, 1});
  }
  // A client that comes back asks at once for what it would have asked by now.
  const plan::Ns at = now();
  for (std::size_t i = 0; i < me_.subscriptions.size(); ++i) {
    const plan::Subscription& s = me_.subscriptions[i];
    if (s.until_ns > 0 && s.until_ns <= at) continue;
    asked_.push_back({s.at_ns, true, i});
    if (s.until_ns > 0) asked_.push_back({s.until_ns, false, i});
  }
  std::stable_sort(asked_.begin(), asked_.end(), [](const Asked& a, const Asked& b) { return a.at_ns < b.at_ns; });
  return {};
}

Expected<void> LoadClient::connect() {
  const plan::Process& home = plan_.processes[me_.broker];
  Options o;
  o.plain = true;
  o.broker = options_.broker;
  o.bind = options_.bind;
  o.control = options_.control;
  o.broker_id = home.id;
  o.id = me_.id;
  o.incarnation = options_.incarnation;
  o.limits = me_.limits == "thousand" ? "thousand_client" : me_.limits;
  o.heartbeat_ns = static_cast<std::uint64_t>(me_.heartbeat_idle_ns);
  o.rate_bps = me_.send_rate_bps;
  o.fragment_bytes = plan_.fragment_bytes;
  ConnectError error;
  client_ = Client::connect(o, *this, error, this);
  if (!client_) return fail(static_cast<Exit>(error.exit_code), me_.name, error.text);
  return {};
}

plan::Ns LoadClient::next_due() const {
  plan::Ns due = next_asked_ < asked_.size() ? asked_[next_asked_].at_ns : plan::Ns{1} << 62;
  if (!due_.empty()) due = std::min(due, due_.top().first);
  return due;
}

Expected<void> LoadClient::loop() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_stop = 1; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  // Signals come only while it waits, so none is missed between the look at g_stop and the wait.
  sigset_t blocked, open;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGINT);
  sigprocmask(SIG_BLOCK, &blocked, &open);
  while (g_stop == 0 && !broken_) {
    const std::uint64_t at = udp::monotonic_ns();
    const plan::Ns due = next_due() - now();
    std::uint64_t left = next_second_ns_ > at ? next_second_ns_ - at : 0;
    if (due < static_cast<plan::Ns>(left)) left = due > 0 ? static_cast<std::uint64_t>(due) : 0;
    const timespec timeout{static_cast<time_t>(left / kSecond), static_cast<long>(left % kSecond)};
    pollfd fd{client_->descriptor(), POLLIN, 0};
    ppoll(&fd, 1, &timeout, &open);
    if ((fd.revents & POLLIN) != 0) client_->process();
    do_what_is_due();
    if (udp::monotonic_ns() >= next_second_ns_) {
      next_second_ns_ = udp::monotonic_ns() + kSecond;
      sample();
      audit_->write_counters(now());
    }
  }
  if (broken_) return tl::unexpected<Error>(*broken_);
  return {};
}

void LoadClient::do_what_is_due() {
  while (next_asked_ < asked_.size() && asked_[next_asked_].at_ns <= now()) subscribe(asked_[next_asked_++]);
  const plan::Ns at = now();
  while (!due_.empty() && due_.top().first <= at) {
    const std::size_t index = due_.top().second;
    Out& out = outs_[index];
    due_.pop();
    while (const auto shot = out.generator.next(at)) publish(out, *shot);
    if (const auto next = out.generator.peek()) due_.emplace(*next, index);
  }
}

void LoadClient::subscribe(const Asked& asked) {
  const plan::Subscription& s = me_.subscriptions[asked.subscription];
  record::Row row;
  row.text = text(s.filter);
  row.code = static_cast<std::uint32_t>(s.replay);
  add(asked.on ? record::Kind::subscribe : record::Kind::unsubscribe, row);
  if (!asked.on) return client_->unsubscribe(s.filter);
  const Refused refused = client_->subscribe(s.filter, static_cast<Replay>(s.replay));
  if (refused == Refused::none) return;
  row.code = static_cast<std::uint32_t>(refused);
  add(record::Kind::refused, row);
}

void LoadClient::publish(Out& out, const load::Shot& shot) {
  const plan::Topic& topic = plan_.topics[out.topic];
  record::Row row;
  row.topic = text(topic.name);
  row.publisher = me_.id;
  row.incarnation = options_.incarnation;
  row.intended_ns = shot.intended_ns;
  row.sequence = out.next_sequence;
  row.sent_ns = now();
  if (!workload_.payload(out.topic, process_, options_.incarnation, out.next_sequence, payload_)) {
    row.code = static_cast<std::uint32_t>(Refused::retry_later);
    return add(record::Kind::refused, row);  // more shots than the plan has payloads: never by an honest plan
  }
  row.hash = record::hash64(payload_);
  row.value = payload_.size();
  row.sent_ns = now();
  // The row is there before the message can leave: publish() sends, and before_send() writes what was added.
  add(record::Kind::publish, row);
  const Published published = client_->publish(topic.name, payload_, static_cast<Lane>(topic.lane));
  if (published) {
    ++out.next_sequence;
    return;
  }
  row.code = static_cast<std::uint32_t>(published.refused);
  row.value = published.retry_after_ns;
  add(record::Kind::refused, row);
}

void LoadClient::add(record::Kind kind, record::Row row) {
  row.time_ns = now();
  if (!application_->put(kind, row)) broken_ = application_->error();
}

void LoadClient::on_message(const Message& message) {
  hasher_.reset();
  for (const auto& piece : message.pieces) hasher_.add(piece);
  record::Row row;
  row.topic = text(message.topic);
  row.publisher = message.publisher;
  row.incarnation = message.incarnation;
  row.sequence = message.sequence;
  row.hash = hasher_.value();
  row.value = message.bytes;
  add(record::Kind::deliver, row);
  ++delivered_;
}

void LoadClient::on_gap(const Gap& gap) {
  record::Row row;
  row.topic = text(gap.topic);
  row.publisher = gap.publisher;
  row.incarnation = gap.incarnation;
  row.sequence = gap.first;
  row.last = gap.last;
  row.code = gap.reason;
  add(record::Kind::gap, row);
}

void LoadClient::on_up(const Session& s) {
  record::Row row;
  row.publisher = s.broker;
  row.incarnation = s.incarnation;
  row.hash = s.uid;
  add(record::Kind::session_up, row);
}

void LoadClient::on_down(const Session& s) {
  record::Row row;
  row.publisher = s.broker;
  row.incarnation = s.incarnation;
  row.hash = s.uid;
  row.code = s.reason;
  add(record::Kind::session_down, row);
}

void LoadClient::on_subscribed(std::string_view filter, std::uint32_t unreachable) {
  record::Row row;
  row.text = text(filter);
  row.sequence = unreachable;
  row.value = cursor_rows_;
  add(record::Kind::subscribed, row);
}

void LoadClient::on_cursor(const Cursor& cursor) {
  record::Row row;
  row.topic = text(cursor.topic);
  row.publisher = cursor.publisher;
  row.incarnation = cursor.incarnation;
  row.sequence = cursor.first;
  row.code = cursor.cause;
  ++cursor_rows_;
  add(record::Kind::cursor, row);
}

void LoadClient::on_detached(std::uint32_t reason) {
  record::Row row;
  row.code = reason;
  add(record::Kind::detached, row);
}

void LoadClient::answer(record::Kind kind, const Answer& a, std::uint32_t code) {
  record::Row row;
  row.topic = text(a.topic);
  row.publisher = me_.id;
  row.incarnation = options_.incarnation;
  row.code = code;
  row.value = a.retry_after_ns;
  for (row.sequence = a.first; row.sequence <= a.last; ++row.sequence) add(kind, row);
}

void LoadClient::on_packet(const PacketVerdict& v) {
  audit_->verdict(now(), v.session_uid, v.packet, v.drop, v.consumed);
}

void LoadClient::sample() {
  for (const Counter& c : client_->counters()) audit_->counter(c.name, c.code, c.value);
  audit_->counter("unsplit", 0, delivered_);  // a real network does not say where the time went
  for (const Pool& p : client_->pools()) audit_->high_water(p.name, p.used_most, p.bound);
}

void LoadClient::before_send() {
  if (!client_) return;  // connect() sends the first hello before it answers
  sample();
  if (!application_->flush()) broken_ = application_->error();
  if (!audit_->flush()) broken_ = audit_->error();
  missing_.clear();
  audit_->missing(missing_);
  const std::uint64_t application_bytes = sizeof(record::Header) + application_->rows() * sizeof(record::Row);
  if (!words_->say({audit_->bytes(), application_bytes}, missing_)) {
    broken_ = Error{Exit::cannot, me_.name, "too many counters for its last words"};
  }
}

Expected<void> LoadClient::finish() {
  sample();
  const plan::Ns at = now();
  if (auto done = audit_->finish(at, record::EndCode::finished); !done) return tl::unexpected<Error>(done.error());
  if (auto done = application_->finish(); !done) return tl::unexpected<Error>(done.error());
  // Its files are closed: what the goodbye would bring belongs to no run.
  client_->close();
  return {};
}

}  // namespace portolan::emu
