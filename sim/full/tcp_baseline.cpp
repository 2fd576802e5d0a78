// The load of a plan over TCP, in the same network: one connection from each publisher to each process that subscribes
// to what it publishes, kept open for the whole run, with ns-3's TcpBbr or TcpCubic. What brokers over TCP could at
// best do, since here none stands in between. To put beside a run of the brokers (scripts/report/tcp_compare.py).
//   tcp_baseline --plan PLAN --out DIR --tcp bbr|cubic [--replay-folder F]
// Writes DIR/tcp.json (figures by family) and DIR/deliveries.csv (family, intended, delivered in ns, bytes; a message
// that never came whole has no delivery). Kill, pause and clock faults are refused: there are no processes to touch.
#include <fmt/format.h>
#include <ns3/boolean.h>
#include <ns3/config.h>
#include <ns3/global-value.h>
#include <ns3/inet-socket-address.h>
#include <ns3/simulator.h>
#include <ns3/tcp-bbr.h>
#include <ns3/tcp-cubic.h>
#include <ns3/tcp-socket-factory.h>
#include <ns3/uinteger.h>

#include <algorithm>
#include <cxxopts.hpp>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "scenarios/load/load.hpp"
#include "sim/full/full_fabric.hpp"
#include "sim/lean/scheduler.hpp"

namespace {

using namespace portolan;
using ns3::Ptr;
using ns3::Socket;

constexpr std::uint16_t kFirstPort = 20'000;
constexpr std::uint32_t kLengthBytes = 4;  // before each message, as any protocol over a byte stream needs
// As Linux 6.1 has them, where ns-3's defaults are older: RFC 6298's second is 200 ms there.
constexpr auto kMinRtoNs = 200'000'000;
constexpr auto kDelayedAckNs = 40'000'000;
constexpr std::uint32_t kBufferBytes = 4u << 20;
constexpr std::uint32_t kInitialWindow = 10;       // RFC 6928
constexpr std::uint32_t kTcpBytes = 20 + 20 + 12;  // IPv4, TCP, timestamps
constexpr std::uint32_t kTunnelBytes = 50;

// The longest that goes over every link, whatever faults make of it: TCP here has no path-MTU discovery.
std::uint32_t segment_bytes(const plan::Plan& plan) {
  std::uint32_t least = 9'000;
  const auto over = [&](const plan::Link& link, const plan::Impairments& way) {
    const std::uint32_t tunnel = link.model == "veth" || link.model == "access" ? 0 : kTunnelBytes;
    least = std::min(least, way.mtu_bytes - std::min(way.mtu_bytes, tunnel + kTcpBytes));
  };
  for (const plan::Link& link : plan.links) over(link, link.a_to_b), over(link, link.b_to_a);
  for (const plan::Fault& fault : plan.faults) {
    if (std::find(fault.replaces.begin(), fault.replaces.end(), "mtu") == fault.replaces.end()) continue;
    for (const plan::Index l : fault.links) over(plan.links[l], fault.impairments);
  }
  return least;
}

struct Message {
  std::uint32_t bytes;
  plan::Index topic;
  plan::Ns intended_ns;
};

struct Delivery {
  plan::Index topic;
  plan::Ns intended_ns, delivered_ns;
  std::uint32_t bytes;
};

class Connection {
 public:
  Connection(sim::FullFabric& net, plan::Index from, plan::Index to, std::uint16_t port, std::vector<Delivery>& out)
      : out_(out) {
    listener_ = Socket::CreateSocket(net.node(to), ns3::TcpSocketFactory::GetTypeId());
    listener_->Bind(ns3::InetSocketAddress(net.address(to), port));
    listener_->Listen();
    listener_->SetAcceptCallback(
        ns3::Callback<bool, Ptr<Socket>, const ns3::Address&>([](Ptr<Socket>, const ns3::Address&) { return true; }),
        ns3::Callback<void, Ptr<Socket>, const ns3::Address&>([this](Ptr<Socket> accepted, const ns3::Address&) {
          accepted_ = accepted;
          accepted->SetRecvCallback(ns3::Callback<void, Ptr<Socket>>([this](Ptr<Socket> socket) { receive(socket); }));
        }));
    sender_ = Socket::CreateSocket(net.node(from), ns3::TcpSocketFactory::GetTypeId());
    sender_->Bind(ns3::InetSocketAddress(net.address(from), port));
    sender_->SetConnectCallback(ns3::Callback<void, Ptr<Socket>>([this](Ptr<Socket>) {
                                  up_ = true;
                                  push();
                                }),
                                ns3::Callback<void, Ptr<Socket>>([](Ptr<Socket>) {}));
    sender_->SetSendCallback(
        ns3::Callback<void, Ptr<Socket>, std::uint32_t>([this](Ptr<Socket>, std::uint32_t) { push(); }));
    sender_->Connect(ns3::InetSocketAddress(net.address(to), port));
  }
  void publish(const Message& message) {
    under_way_.push_back(message);
    unsent_ += message.bytes + kLengthBytes;
    if (up_) push();
  }
  std::size_t never_came() const { return under_way_.size(); }

 private:
  void push() {
    while (unsent_ > 0) {
      const auto room = std::min<std::uint64_t>({unsent_, sender_->GetTxAvailable(), 65'536});
      if (room == 0) return;
      const int sent = sender_->Send(ns3::Create<ns3::Packet>(static_cast<std::uint32_t>(room)));
      if (sent <= 0) return;
      unsent_ -= static_cast<std::uint64_t>(sent);
    }
  }
  void receive(Ptr<Socket> socket) {
    while (Ptr<ns3::Packet> packet = socket->Recv()) came_ += packet->GetSize();
    while (!under_way_.empty() && came_ >= under_way_.front().bytes + kLengthBytes) {
      const Message& message = under_way_.front();
      came_ -= message.bytes + kLengthBytes;
      out_.push_back({message.topic, message.intended_ns, static_cast<plan::Ns>(sim::now_ns()), message.bytes});
      under_way_.pop_front();
    }
  }

  std::vector<Delivery>& out_;
  Ptr<Socket> listener_, accepted_, sender_;
  std::deque<Message> under_way_;
  std::uint64_t unsent_ = 0, came_ = 0;
  bool up_ = false;
};

void set_defaults(const std::string& kind, std::uint32_t segment) {
  ns3::TcpBbr::GetTypeId();
  ns3::TcpCubic::GetTypeId();
  const auto set = [](const char* name, const ns3::AttributeValue& value) { ns3::Config::SetDefault(name, value); };
  set("ns3::TcpL4Protocol::SocketType",
      ns3::TypeIdValue(kind == "bbr" ? ns3::TcpBbr::GetTypeId() : ns3::TcpCubic::GetTypeId()));
  set("ns3::TcpSocketBase::MinRto", ns3::TimeValue(ns3::NanoSeconds(kMinRtoNs)));
  set("ns3::TcpSocket::DelAckTimeout", ns3::TimeValue(ns3::NanoSeconds(kDelayedAckNs)));
  set("ns3::TcpSocket::ConnTimeout", ns3::TimeValue(ns3::Seconds(1)));
  set("ns3::TcpSocket::ConnCount", ns3::UintegerValue(100));
  set("ns3::TcpSocket::DataRetries", ns3::UintegerValue(100));
  set("ns3::TcpSocket::SndBufSize", ns3::UintegerValue(kBufferBytes));
  set("ns3::TcpSocket::RcvBufSize", ns3::UintegerValue(kBufferBytes));
  set("ns3::TcpSocket::InitialCwnd", ns3::UintegerValue(kInitialWindow));
  set("ns3::TcpSocket::SegmentSize", ns3::UintegerValue(segment));
  set("ns3::TcpSocket::TcpNoDelay", ns3::BooleanValue(true));
}

class Baseline {
 public:
  Baseline(const plan::Plan& plan, const load::Workload& workload, sim::FullFabric& net)
      : plan_(plan), workload_(workload), net_(net) {}

  Expected<void> prepare() {
    std::map<std::pair<plan::Index, plan::Index>, Connection*> between;
    for (plan::Index s = 0; s < plan_.streams.size(); ++s) {
      const plan::Stream& stream = plan_.streams[s];
      auto generator = load::Generator::make(workload_, s, 1);
      if (!generator) return tl::unexpected<Error>(generator.error());
      generators_.push_back(std::make_unique<load::Generator>(std::move(*generator)));
      paths_.emplace_back();
      for (plan::Index p = 0; p < plan_.processes.size(); ++p) {
        if (!wants(plan_.processes[p], plan_.topics[stream.topic])) continue;
        Connection*& connection = between[{stream.process, p}];
        if (connection == nullptr) {
          if (connections_.size() > 65'535u - kFirstPort) {
            return fail(Exit::usage, "/processes",
                        "more connections than there are ports: publishers times subscribers");
          }
          const auto port = static_cast<std::uint16_t>(kFirstPort + connections_.size());
          connections_.push_back(std::make_unique<Connection>(net_, plan_.processes[stream.process].node,
                                                              plan_.processes[p].node, port, deliveries_));
          connection = connections_.back().get();
        }
        paths_[s].push_back(connection);
      }
    }
    for (plan::Index s = 0; s < plan_.streams.size(); ++s) follow(s);
    return {};
  }
  std::size_t never_came() const {
    std::size_t sum = 0;
    for (const auto& connection : connections_) sum += connection->never_came();
    return sum;
  }
  std::size_t connections() const { return connections_.size(); }
  const std::vector<Delivery>& deliveries() const { return deliveries_; }

 private:
  bool wants(const plan::Process& process, const plan::Topic& topic) const {
    if (process.tenant != topic.tenant) return false;
    return std::any_of(process.subscriptions.begin(), process.subscriptions.end(),
                       [&](const plan::Subscription& s) { return plan::filter_matches(s.filter, topic.name); });
  }
  void follow(plan::Index s) {
    const auto when = generators_[s]->peek();
    if (!when) return;
    sim::at(static_cast<std::uint64_t>(*when), [this, s] {
      while (const auto shot = generators_[s]->next(static_cast<plan::Ns>(sim::now_ns()))) {
        for (Connection* path : paths_[s]) {
          path->publish({shot->size_bytes, plan_.streams[s].topic, shot->intended_ns});
        }
      }
      follow(s);
    });
  }

  const plan::Plan& plan_;
  const load::Workload& workload_;
  sim::FullFabric& net_;
  std::vector<std::unique_ptr<load::Generator>> generators_;
  std::vector<std::vector<Connection*>> paths_;  // by stream
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<Delivery> deliveries_;
};

void write(const plan::Plan& plan, const Baseline& baseline, const std::string& tcp, const std::string& out) {
  std::map<std::string, std::vector<std::int64_t>> latencies;
  std::map<std::string, std::uint64_t> bytes;
  std::ofstream rows(out + "/deliveries.csv");
  rows << "family,intended_ns,delivered_ns,bytes\n";
  for (const Delivery& d : baseline.deliveries()) {
    const std::string& family = plan.topics[d.topic].family;
    latencies[family].push_back(d.delivered_ns - d.intended_ns);
    bytes[family] += d.bytes;
    rows << fmt::format("{},{},{},{}\n", family, d.intended_ns, d.delivered_ns, d.bytes);
  }
  std::ofstream json(out + "/tcp.json");
  json << fmt::format("{{\n  \"connections\": {},\n  \"families\": [", baseline.connections());
  const char* comma = "";
  for (auto& [family, sorted] : latencies) {
    std::sort(sorted.begin(), sorted.end());
    // Nearest rank, as results/ has it.
    const auto at = [&sorted = sorted](std::size_t permille) {
      return sorted[std::max<std::size_t>(1, (sorted.size() * permille + 999) / 1000) - 1];
    };
    json << fmt::format(
        "{}\n    {{\"family\": \"{}\", \"deliveries\": {}, \"bytes\": {}, \"p50_ns\": {}, \"p90_ns\": {}, "
        "\"p99_ns\": {}, \"max_ns\": {}}}",
        comma, family, sorted.size(), bytes[family], at(500), at(900), at(990), sorted.back());
    comma = ",";
  }
  json << fmt::format("\n  ],\n  \"never_came\": {},\n  \"plan\": \"{}\",\n  \"seed\": {},\n  \"tcp\": \"{}\"\n}}\n",
                      baseline.never_came(), plan.name, plan.seed, tcp);
}

int complain(const Error& error) {
  fmt::print(stderr, "tcp_baseline: {}\n", error.text());
  return static_cast<int>(error.code);
}

int run(const plan::Plan& plan, const std::string& tcp, const std::string& replay_folder, const std::string& out) {
  for (const plan::Fault& fault : plan.faults) {
    if (fault.processes.empty()) continue;
    return complain({Exit::usage, "/faults", fault.name + " touches processes, of which TCP has none here"});
  }
  set_defaults(tcp, segment_bytes(plan));
  auto net = sim::FullFabric::make_for_tcp(plan);
  if (!net) return complain(net.error());
  for (const plan::Fault& fault : plan.faults) {
    if (fault.kind != plan::FaultKind::cut && fault.kind != plan::FaultKind::partition) continue;
    const auto changes = [&net] { (*net)->links_changed(); };
    sim::at(static_cast<std::uint64_t>(fault.at_ns), changes);
    if (fault.until_ns > 0) sim::at(static_cast<std::uint64_t>(fault.until_ns), changes);
  }
  auto workload = load::Workload::make(plan, replay_folder);
  if (!workload) return complain(workload.error());
  Baseline baseline(plan, *workload, **net);
  std::unique_ptr<Error> error;
  sim::at(0, [&] {
    if (auto prepared = baseline.prepare(); !prepared) error = std::make_unique<Error>(prepared.error());
  });
  sim::at(static_cast<std::uint64_t>(plan.duration_ns + plan.drain_ns), [] { ns3::Simulator::Stop(); });
  ns3::Simulator::Run();
  if (error) return complain(*error);
  write(plan, baseline, tcp, out);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  cxxopts::Options cli("tcp_baseline", "The load of a plan over TCP, without brokers, in ns-3.");
  cli.add_options()("plan", "the plan (JSON)", cxxopts::value<std::string>())(
      "out", "folder for tcp.json and deliveries.csv", cxxopts::value<std::string>())(
      "tcp", "bbr or cubic", cxxopts::value<std::string>()->default_value("cubic"))(
      "replay-folder", "where relative replay files start", cxxopts::value<std::string>()->default_value("."))(
      "help", "this text");
  try {
    const auto args = cli.parse(argc, argv);
    if (args.count("help") > 0) {
      fmt::print("{}\n", cli.help());
      return 0;
    }
    const std::string tcp = args["tcp"].as<std::string>();
    if (args.count("plan") == 0 || args.count("out") == 0 || (tcp != "bbr" && tcp != "cubic")) {
      fmt::print(stderr, "tcp_baseline: --plan PLAN, --out DIR and --tcp bbr|cubic are needed\n");
      return static_cast<int>(Exit::usage);
    }
    const auto plan = plan::read_plan(args["plan"].as<std::string>());
    if (!plan) return complain(plan.error());
    std::filesystem::create_directories(args["out"].as<std::string>());
    return run(*plan, tcp, args["replay-folder"].as<std::string>(), args["out"].as<std::string>());
  } catch (const std::exception& e) {
    fmt::print(stderr, "tcp_baseline: {}\n", e.what());
    return static_cast<int>(Exit::usage);
  }
}
