#include "emu/load/runner.hpp"

#include <fcntl.h>
#include <sodium/crypto_hash_sha256.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "broker/udp/clock.hpp"
#include "broker/udp/control.hpp"
#include "results/record/journal.hpp"
#include "results/record/reader.hpp"
#include "scenarios/plan/needs.hpp"
#include "scenarios/plan/topic_rules.hpp"

namespace portolan::emu {

namespace {

namespace fs = std::filesystem;
constexpr plan::Ns kMillisecond = 1'000'000, kSecond = 1'000'000'000;
constexpr plan::Ns kLead = 200 * kMillisecond;      // between making ready and time 0
constexpr plan::Ns kAfter = 100 * kMillisecond;     // the run lasts at least as long as the plan says
constexpr plan::Ns kEndWithin = 15 * kSecond;       // of a child that was told to end
constexpr plan::Ns kLookEvery = 20 * kMillisecond;  // for children that ended by themselves

constexpr plan::Ns kBeginWithin = 900 * kMillisecond;

volatile std::sig_atomic_t g_interrupted = 0;

std::string hex_of(std::string_view bytes) {
  unsigned char digest[crypto_hash_sha256_BYTES];
  crypto_hash_sha256(digest, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  std::string hex;
  for (const unsigned char b : digest) {
    hex += "0123456789abcdef"[b >> 4];
    hex += "0123456789abcdef"[b & 15];
  }
  return hex;
}

bool impaired(const plan::Impairments& x) {
  return x.delay_ns > 0 || x.jitter.kind != plan::JitterKind::none || x.loss.kind != plan::LossKind::none ||
         x.rate_bps > 0 || x.reorder > 0 || x.duplicate > 0 || !x.delay_trace.empty() || !x.rate_trace_ms.empty();
}

const char* name_of(plan::PeerRole role) {
  constexpr const char* kNames[] = {"mesh", "hub", "standby", "leaf", "standby-leaf"};
  return kNames[static_cast<int>(role)];
}

}  // namespace

plan::Ns Runner::now() const {
  return static_cast<plan::Ns>(udp::monotonic_ns() - epoch_ns_);
}

Expected<void> Runner::run(const RunnerOptions& options) {
  const auto plan = plan::read_plan(options.plan_path);
  if (!plan) return tl::unexpected<Error>(plan.error());
  Runner runner(options, *plan);
  if (auto ok = runner.refuse(); !ok) return ok;
  if (auto ok = runner.prepare(); !ok) return ok;
  auto played = runner.play();
  auto stopped = runner.stop_all();  // also after an error: no child is left behind
  if (!played) return played;
  if (!stopped) return stopped;
  return runner.finish();
}

// What this runner cannot do is refused by its place in the plan, never left out.
Expected<void> Runner::refuse() const {
  const auto no = [&](const std::string& where, const std::string& what) {
    return fail(Exit::usage, options_.plan_path, where + ": " + what + ": loopback does not do that");
  };
  constexpr plan::Feature kHonours[] = {plan::Feature::hubs};
  if (auto ok = plan::refuse_needs(plan_, kHonours, "loopback"); !ok) return ok;
  for (std::size_t l = 0; l < plan_.links.size(); ++l) {
    const plan::Link& link = plan_.links[l];
    if (link.model == "veth") continue;
    if (impaired(link.a_to_b) || impaired(link.b_to_a)) {
      return no("/links/" + std::to_string(l), "delay, loss, rate or other impairments of a link");
    }
  }
  for (std::size_t f = 0; f < plan_.faults.size(); ++f) {
    const plan::FaultKind kind = plan_.faults[f].kind;
    const bool done = kind == plan::FaultKind::kill || kind == plan::FaultKind::restart ||
                      kind == plan::FaultKind::pause || kind == plan::FaultKind::clock_skew;
    if (!done) return no("/faults/" + std::to_string(f) + "/kind", "a fault other than kill, restart, pause and clock");
  }
  for (std::size_t p = 0; p < plan_.processes.size(); ++p) {
    if (plan_.processes[p].clock_offset_ns != 0) {
      return no("/processes/" + std::to_string(p) + "/clock_offset_ns", "a clock that is wrong from the start");
    }
  }
  return {};
}

Expected<void> Runner::prepare() {
  std::error_code ec;
  for (const char* folder : {"/records", "/logs", "/config"}) {
    fs::create_directories(options_.out + folder, ec);
    if (ec) return fail(Exit::cannot, options_.out + folder, ec.message());
  }
  std::ifstream in(options_.plan_path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  plan_sha256_ = hex_of(text);
  if (!fs::equivalent(options_.plan_path, options_.out + "/plan.json", ec)) {
    std::ofstream(options_.out + "/plan.json", std::ios::binary) << text;
  }
  std::array<std::uint8_t, 32> sha256{};
  crypto_hash_sha256(sha256.data(), reinterpret_cast<const unsigned char*>(text.data()), text.size());
  auto writer = record::RecordWriter::create(
      options_.out + "/records/runner.rec",
      record::make_header(record::Writer::runner, plan::kNone, 0, 0, plan::kNone, "runner", plan_.seed, sha256));
  if (!writer) return tl::unexpected<Error>(writer.error());
  writer_ = std::make_unique<record::RecordWriter>(std::move(*writer));
  children_.assign(plan_.processes.size(), {});
  plan_actions();
  struct sigaction action {};
  action.sa_handler = [](int) { g_interrupted = 1; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return {};
}

void Runner::plan_actions() {
  for (plan::Index p = 0; p < plan_.processes.size(); ++p) {
    actions_.push_back({Action::Kind::start, plan_.processes[p].start_ns, p});
  }
  for (plan::Index f = 0; f < plan_.faults.size(); ++f) {
    actions_.push_back({Action::Kind::fault_on, plan_.faults[f].at_ns, f});
    if (plan_.faults[f].until_ns > 0) actions_.push_back({Action::Kind::fault_off, plan_.faults[f].until_ns, f});
  }
  std::stable_sort(actions_.begin(), actions_.end(),
                   [](const Action& a, const Action& b) { return a.at_ns < b.at_ns; });
}

Expected<void> Runner::play() {
  epoch_ns_ = udp::monotonic_ns() + static_cast<std::uint64_t>(kLead);
  const plan::Ns end = plan_.duration_ns + plan_.drain_ns + kAfter;
  std::size_t next = 0;
  while (now() < end) {
    if (g_interrupted != 0) return fail(Exit::inconclusive, "", "interrupted");
    while (next < actions_.size() && actions_[next].at_ns <= now()) {
      worst_lateness_ns_ = std::max(worst_lateness_ns_, now() - actions_[next].at_ns);
      if (auto done = act(actions_[next++]); !done) return done;
    }
    if (auto sound = watch(); !sound) return sound;
    const plan::Ns until = next < actions_.size() ? std::min(actions_[next].at_ns, end) : end;
    const plan::Ns left = std::clamp<plan::Ns>(until - now(), 0, kLookEvery);
    const timespec pause{static_cast<time_t>(left / kSecond), static_cast<long>(left % kSecond)};
    nanosleep(&pause, nullptr);
  }
  return {};
}

Expected<void> Runner::act(const Action& action) {
  switch (action.kind) {
    case Action::Kind::start:
      return start(action.index);
    case Action::Kind::fault_on:
      return fault_on(action.index);
    case Action::Kind::fault_off:
      return fault_off(action.index);
  }
  return {};
}

Expected<void> Runner::fault_on(plan::Index index) {
  const plan::Fault& fault = plan_.faults[index];
  if (fault.kind == plan::FaultKind::clock_skew) {
    row(record::Kind::fault_on, index);
    return bend(fault, false);
  }
  for (const plan::Index p : fault.processes) {
    if (children_[p].pid < 0) continue;
    if (fault.kind == plan::FaultKind::pause) {
      ::kill(children_[p].pid, SIGSTOP);
    } else if (auto done = kill(p); !done) {
      return done;
    }
  }
  row(record::Kind::fault_on, index);
  return {};
}

Expected<void> Runner::fault_off(plan::Index index) {
  const plan::Fault& fault = plan_.faults[index];
  row(record::Kind::fault_off, index);
  if (fault.kind == plan::FaultKind::clock_skew) return bend(fault, true);
  for (const plan::Index p : fault.processes) {
    if (fault.kind == plan::FaultKind::pause) {
      if (children_[p].pid >= 0) ::kill(children_[p].pid, SIGCONT);
    } else if (auto done = start(p); !done) {
      return done;
    }
  }
  return {};
}

Expected<void> Runner::bend(const plan::Fault& fault, bool back) {
  const std::string line = "clock step_ns=" + std::to_string(back ? -fault.skew_ns : fault.skew_ns) +
                           " rate_ppb=" + std::to_string(back ? 0 : fault.skew_ppb);
  for (const plan::Index p : fault.processes) {
    if (children_[p].pid < 0) continue;
    const auto answer = udp::ask_control(control_of(p), line, static_cast<std::uint64_t>(kSecond));
    if (answer != "ok") {
      return fail(Exit::cannot, plan_.processes[p].name, "its clock is not bent: " + answer.value_or("no answer"));
    }
  }
  return {};
}

// In the abstract namespace: folders of runs have longer paths than a socket's may be.
std::string Runner::control_of(plan::Index process) const {
  return "@portolan." + std::to_string(getpid()) + "." + std::to_string(process);
}

std::string Runner::address_of(plan::Index process) const {
  const plan::Process& p = plan_.processes[process];
  return "127." + std::to_string(options_.net) + "." + std::to_string(p.node / 250) + "." +
         std::to_string(p.node % 250 + 1) + ":" + std::to_string(p.port);
}

std::string Runner::stem_of(plan::Index process, std::uint32_t incarnation) const {
  std::string stem = plan_.processes[process].name;
  std::replace(stem.begin(), stem.end(), '/', '_');
  return stem + "." + std::to_string(incarnation);
}

std::string Runner::broker_config(plan::Index process, std::uint32_t incarnation) const {
  const plan::Process& me = plan_.processes[process];
  const auto ns = [](plan::Ns value) { return std::to_string(value) + " ns"; };
  const auto is_hub = [](plan::PeerRole role) {
    return role == plan::PeerRole::leaf || role == plan::PeerRole::standby_leaf;
  };
  const bool hub = std::any_of(me.peer_roles.begin(), me.peer_roles.end(), is_hub);
  plan::Ns client_idle = me.heartbeat_idle_ns;
  for (const plan::Process& other : plan_.processes) {
    if (other.kind != plan::ProcessKind::client || other.broker != process) continue;
    client_idle = other.heartbeat_idle_ns;
    break;
  }
  std::string y = "id: " + std::to_string(me.id) + "\nname: " + me.name + "\nlisten: " + address_of(process) +
                  "\ncontrol: '" + control_of(process) +
                  "'\nsecurity: plain\nincarnation: " + std::to_string(incarnation) +
                  "\nlimits: " + (me.limits == "thousand" && hub ? "thousand_hub" : me.limits) +
                  "\nheartbeat: {brokers: " + ns(me.heartbeat_idle_ns) + ", clients: " + ns(client_idle) +
                  "}\nfragment: " + std::to_string(plan_.fragment_bytes) + " B\ndetach: {after: " + ns(me.detach_ns) +
                  ", bytes: " + std::to_string(me.detach_bytes) + " B}\n";
  if (me.send_rate_bps > 0) y += "rate: " + std::to_string(me.send_rate_bps) + " bit/s\n";
  if (!me.peers.empty()) y += "peers:\n";
  for (std::size_t i = 0; i < me.peers.size(); ++i) {
    const auto role = i < me.peer_roles.size() ? me.peer_roles[i] : plan::PeerRole::mesh;
    y += "  - {id: " + std::to_string(plan_.processes[me.peers[i]].id) + ", address: '" + address_of(me.peers[i]) +
         "', role: " + name_of(role) + "}\n";
  }
  const auto rules = plan::topic_rules(plan_, me.tenant);
  if (!rules.empty()) y += "topics:\n";
  for (const plan::TopicRule& rule : rules) {
    constexpr const char* kLanes[] = {"", "ordered", "realtime", "bulk"};
    y += "  - {filter: '" + rule.filter + "', lane: " + kLanes[rule.lane] + ", retain: " + ns(rule.retain_ns) +
         ", retain-bytes: " + std::to_string(rule.retain_bytes) + " B}\n";
  }
  y += "record: {file: '" + fs::absolute(options_.out).string() + "/records/" + stem_of(process, incarnation) +
       ".audit.rec', process: " + std::to_string(process) + ", node: " + std::to_string(me.node) + ", name: '" +
       me.name + "', seed: " + std::to_string(plan_.seed) + ", plan: '" + plan_sha256_ +
       "', epoch: " + std::to_string(epoch_ns_) + "}\n";
  return y;
}

std::vector<std::string> Runner::command_of(plan::Index process, std::uint32_t incarnation) {
  const plan::Process& me = plan_.processes[process];
  const std::string stem = stem_of(process, incarnation);
  if (me.kind == plan::ProcessKind::broker) {
    const std::string config = options_.out + "/config/" + stem + ".yaml";
    std::ofstream(config) << broker_config(process, incarnation);
    return {options_.programs + "/portolan-broker", "--config", config};
  }
  return {options_.programs + "/portolan-load",
          "--plan",
          options_.out + "/plan.json",
          "--process",
          me.name,
          "--records",
          options_.out + "/records",
          "--broker",
          address_of(me.broker),
          "--bind",
          address_of(process),
          "--control",
          control_of(process),
          "--incarnation",
          std::to_string(incarnation),
          "--epoch",
          std::to_string(epoch_ns_),
          "--replay-folder",
          options_.replay_folder};
}

Expected<void> Runner::start(plan::Index process) {
  Child& child = children_[process];
  if (child.pid >= 0) return {};
  ++child.incarnation;
  const std::vector<std::string> words = command_of(process, child.incarnation);
  const std::string log = options_.out + "/logs/" + stem_of(process, child.incarnation) + ".log";
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return fail(Exit::cannot, "fork", std::strerror(errno));
  if (pid == 0) {
    // No child outlives its runner, however that ends.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    const int fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd >= 0) {
      dup2(fd, STDOUT_FILENO);
      dup2(fd, STDERR_FILENO);
    }
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  child.pid = pid;
  row(record::Kind::started, process, child.incarnation);
  files_.push_back(stem_of(process, child.incarnation) + ".audit.rec");
  if (plan_.processes[process].kind == plan::ProcessKind::client) {
    files_.push_back(stem_of(process, child.incarnation) + ".app.rec");
  }
  return {};
}

Expected<void> Runner::kill(plan::Index process) {
  Child& child = children_[process];
  const std::string stem = options_.out + "/records/" + stem_of(process, child.incarnation);
  // One that is still being started has no files yet: within the checker's second for a fault it gets time to begin.
  const plan::Ns until = now() + kBeginWithin;
  while (!record::has_spoken(stem + ".audit.rec.last") && now() < until) {
    const timespec pause{0, kMillisecond};
    nanosleep(&pause, nullptr);
  }
  ::kill(child.pid, SIGKILL);
  int status = 0;
  waitpid(child.pid, &status, 0);
  child.pid = -1;
  const plan::Ns at = now();
  row(record::Kind::stopped, process, child.incarnation, static_cast<std::uint32_t>(record::StopCause::killed));
  const bool client = plan_.processes[process].kind == plan::ProcessKind::client;
  auto closed = record::close_killed(stem + ".audit.rec.last",
                                     {stem + ".audit.rec", client ? stem + ".app.rec" : std::string()}, at);
  if (!closed) return tl::unexpected<Error>(closed.error());
  return {};
}

Expected<void> Runner::watch() {
  for (plan::Index p = 0; p < children_.size(); ++p) {
    Child& child = children_[p];
    int status = 0;
    if (child.pid < 0 || waitpid(child.pid, &status, WNOHANG) != child.pid) continue;
    child.pid = -1;
    const std::string how = WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status))
                                                : "exit code " + std::to_string(WEXITSTATUS(status));
    return fail(
        Exit::cannot, plan_.processes[p].name,
        "ended by itself with " + how + "; see " + options_.out + "/logs/" + stem_of(p, child.incarnation) + ".log");
  }
  return {};
}

Expected<void> Runner::stop_all() {
  for (Child& child : children_) {
    if (child.pid < 0) continue;
    ::kill(child.pid, SIGCONT);
    ::kill(child.pid, SIGTERM);
  }
  const std::uint64_t until = udp::monotonic_ns() + static_cast<std::uint64_t>(kEndWithin);
  Expected<void> result;
  for (plan::Index p = 0; p < children_.size(); ++p) {
    Child& child = children_[p];
    int status = 0;
    while (child.pid >= 0 && waitpid(child.pid, &status, WNOHANG) == 0 && udp::monotonic_ns() < until) {
      const timespec pause{0, kMillisecond};
      nanosleep(&pause, nullptr);
    }
    if (child.pid < 0) continue;
    if (udp::monotonic_ns() >= until) {
      ::kill(child.pid, SIGKILL);
      waitpid(child.pid, &status, 0);
    }
    child.pid = -1;
    const bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    row(record::Kind::stopped, p, child.incarnation,
        static_cast<std::uint32_t>(well ? record::StopCause::end_of_run : record::StopCause::crashed));
    if (!well && result) {
      result = fail(Exit::cannot, plan_.processes[p].name, "did not end well when it was told to; see its log");
    }
  }
  return result;
}

Expected<void> Runner::finish() {
  const auto say = [this](record::Kind kind, const std::string& text, std::uint64_t value, std::uint64_t hash = 0) {
    record::Row row;
    row.time_ns = now();
    row.text = writer_->intern(text);
    row.value = value;
    row.hash = hash;
    writer_->put(kind, row);
  };
  say(record::Kind::fidelity, "runner=emu", 1);
  say(record::Kind::fidelity, "reassembly=portable", 1);
  say(record::Kind::fidelity, "action_lateness_ns", static_cast<std::uint64_t>(worst_lateness_ns_));
  for (const plan::Link& link : plan_.links) {
    if (link.model == "veth") continue;
    // Harbours reach each other through the kernel's loopback; nothing passes the plan's links.
    for (const char* what : {"/a_to_b/packets", "/a_to_b/bytes", "/b_to_a/packets", "/b_to_a/bytes"}) {
      say(record::Kind::link_counters, link.name + what, 0);
    }
  }
  std::uint64_t all = 0;
  for (const std::string& file : files_) {
    const auto reader = record::RecordReader::open(options_.out + "/records/" + file);
    if (!reader) return tl::unexpected<Error>(reader.error());
    const record::FileSummary summary = reader->summary();
    say(record::Kind::file, file, summary.rows, summary.hash);
    all ^= summary.hash;
  }
  record::Row trace;
  trace.time_ns = now();
  trace.hash = all;
  writer_->put(record::Kind::trace, trace);
  auto finished = writer_->finish();
  if (!finished) return tl::unexpected<Error>(finished.error());
  return {};
}

void Runner::row(record::Kind kind, std::uint64_t value, std::uint32_t incarnation, std::uint32_t code) {
  record::Row row;
  row.time_ns = now();
  row.value = value;
  row.incarnation = incarnation;
  row.code = code;
  writer_->put(kind, row);
}

}  // namespace portolan::emu
