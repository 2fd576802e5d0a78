// What plain ns-3 costs: the datagrams of a run, sent again by UDP sockets over the plan's nodes and links, with
// point-to-point devices of ns-3's own, and FqCoDel (RFC 8290) in traffic control where the plan asks for it. No
// engine, no record, no LinkModel, no tunnel: what `portolan bench sim` divides full fidelity by. Routing is the
// simulator's own (router.hpp): ns-3's would make the baseline slower, and so flatter.
//   udp_baseline --plan PLAN --datagrams FILE (of portolan-sim --datagrams) --out JSON
// Uniform loss is RateErrorModel's; a plan with other impairments, faults unlike directions of a link or more than one
// tenant is refused.
#include <fmt/format.h>
#include <ns3/arp-l3-protocol.h>
#include <ns3/data-rate.h>
#include <ns3/double.h>
#include <ns3/error-model.h>
#include <ns3/icmpv4-l4-protocol.h>
#include <ns3/inet-socket-address.h>
#include <ns3/ipv4-l3-protocol.h>
#include <ns3/node.h>
#include <ns3/nstime.h>
#include <ns3/object-factory.h>
#include <ns3/point-to-point-helper.h>
#include <ns3/pointer.h>
#include <ns3/priority-queue-scheduler.h>
#include <ns3/string.h>
#include <ns3/traffic-control-helper.h>
#include <ns3/traffic-control-layer.h>
#include <ns3/udp-l4-protocol.h>
#include <ns3/udp-socket-factory.h>
#include <ns3/uinteger.h>

#include <algorithm>
#include <cxxopts.hpp>
#include <fstream>
#include <unordered_map>

#include "sim/full/datagram_log.hpp"
#include "sim/full/router.hpp"
#include "sim/lean/routes.hpp"
#include "sim/lean/scheduler.hpp"

namespace {

using namespace portolan;
using ns3::Ptr;

constexpr std::uint64_t kUnlimitedBps = 1'000'000'000'000;  // a plan's rate 0; ns-3 has none without a rate
constexpr std::uint32_t kFrameBytes = 1514;
constexpr std::uint32_t kMtuBytes = 65'535;  // never fragments; datagrams are below 1,450 bytes anyway

class Baseline {
 public:
  Baseline(const plan::Plan& plan, std::vector<sim::SentDatagram> datagrams)
      : plan_(plan), datagrams_(std::move(datagrams)) {}

  Expected<void> build() {
    for (plan::Index l = 0; l < plan_.links.size(); ++l) {
      for (const bool reverse : {false, true}) {
        auto model = link::LinkModel::make(plan_, l, reverse);
        if (!model) return tl::unexpected<Error>(model.error());
        directions_.push_back(std::move(*model));
      }
    }
    routes_ = std::make_unique<sim::Routes>(plan_, directions_);
    for (plan::Index n = 0; n < plan_.nodes.size(); ++n) add_node(n);
    devices_.resize(plan_.links.size());
    for (plan::Index l = 0; l < plan_.links.size(); ++l) add_link(l);
    for (const plan::Process& process : plan_.processes) add_socket(process);
    return {};
  }
  void start() {
    if (!datagrams_.empty()) sim::at(datagrams_[0].at_ns, [this] { send(); });
  }
  std::uint64_t received() const { return received_; }
  std::uint64_t received_bytes() const { return received_bytes_; }
  std::size_t sent() const { return next_; }
  std::uint64_t refused() const { return refused_; }

 private:
  void add_node(plan::Index n) {
    auto node = ns3::CreateObject<ns3::Node>();
    const ns3::Ipv4Address address(plan_.nodes[n].address.c_str());
    nodes_.push_back(node);
    addresses_.push_back(address);
    by_address_[address.Get()] = n;
    node->AggregateObject(ns3::CreateObject<ns3::TrafficControlLayer>());
    node->AggregateObject(ns3::CreateObject<ns3::ArpL3Protocol>());
    auto ip = ns3::CreateObject<ns3::Ipv4L3Protocol>();
    node->AggregateObject(ip);
    node->AggregateObject(ns3::CreateObject<ns3::Icmpv4L4Protocol>());
    node->AggregateObject(ns3::CreateObject<ns3::UdpL4Protocol>());
    node->GetObject<ns3::ArpL3Protocol>()->SetTrafficControl(node->GetObject<ns3::TrafficControlLayer>());
    sim::Router::Table table;
    table.way = [this, n](ns3::Ipv4Address to) { return way(n, to); };
    table.epoch = [] { return std::uint64_t{1}; };
    ip->SetRoutingProtocol(ns3::CreateObject<sim::Router>(address, std::move(table)));
  }

  void add_link(plan::Index l) {
    const plan::Link& link = plan_.links[l];
    const plan::Impairments& is = link.a_to_b;
    ns3::PointToPointHelper helper;
    helper.SetDeviceAttribute("DataRate",
                              ns3::DataRateValue(ns3::DataRate(is.rate_bps == 0 ? kUnlimitedBps : is.rate_bps)));
    helper.SetDeviceAttribute("Mtu", ns3::UintegerValue(kMtuBytes));
    helper.SetChannelAttribute("Delay", ns3::TimeValue(ns3::NanoSeconds(static_cast<std::uint64_t>(is.delay_ns))));
    const std::uint64_t packets = std::max<std::uint64_t>(1, is.queue.bytes / kFrameBytes);
    const bool fair = is.queue.kind == plan::QueueKind::fq_codel;
    // Under a queue disc the device keeps what it needs to stay busy; else it is the queue.
    helper.SetQueue("ns3::DropTailQueue", "MaxSize",
                    ns3::StringValue(fair ? std::string("1p") : std::to_string(packets) + "p"));
    devices_[l] = helper.Install(nodes_[link.a], nodes_[link.b]);
    for (const std::uint32_t i : {0u, 1u}) {
      const plan::Index node = i == 0 ? link.a : link.b;
      auto ip = nodes_[node]->GetObject<ns3::Ipv4L3Protocol>();
      const std::uint32_t index = ip->AddInterface(devices_[l].Get(i));
      ip->AddAddress(index, ns3::Ipv4InterfaceAddress(addresses_[node], ns3::Ipv4Mask::GetOnes()));
      ip->SetUp(index);
      const plan::Loss& loss = (i == 0 ? link.b_to_a : link.a_to_b).loss;
      if (loss.probability == 0) continue;
      auto errors = ns3::CreateObject<ns3::RateErrorModel>();
      errors->SetAttribute("ErrorRate", ns3::DoubleValue(static_cast<double>(loss.probability) / 1e9));
      errors->SetUnit(ns3::RateErrorModel::ERROR_UNIT_PACKET);
      devices_[l].Get(i)->SetAttribute("ReceiveErrorModel", ns3::PointerValue(errors));
    }
    if (!fair) return;
    ns3::TrafficControlHelper control;
    control.SetRootQueueDisc("ns3::FqCoDelQueueDisc", "MaxSize", ns3::StringValue(std::to_string(packets) + "p"));
    control.Install(devices_[l]);
  }

  void add_socket(const plan::Process& process) {
    const ns3::InetSocketAddress here(addresses_[process.node], process.port);
    auto socket = ns3::Socket::CreateSocket(nodes_[process.node], ns3::UdpSocketFactory::GetTypeId());
    socket->Bind(here);
    socket->SetRecvCallback(ns3::Callback<void, Ptr<ns3::Socket>>([this](Ptr<ns3::Socket> from) {
      while (Ptr<ns3::Packet> packet = from->Recv()) {
        ++received_;
        received_bytes_ += packet->GetSize();
      }
    }));
    sockets_.push_back(socket);
    ends_.emplace_back(here);
  }

  sim::Router::Way way(plan::Index node, ns3::Ipv4Address to) {
    const auto end = by_address_.find(to.Get());
    if (end == by_address_.end()) return {};
    const sim::Hop hop = routes_->next(node, end->second);
    if (hop.link == plan::kNone) return {};
    const plan::Link& link = plan_.links[hop.link];
    return {devices_[hop.link].Get(hop.reverse ? 1 : 0), addresses_[hop.reverse ? link.a : link.b]};
  }

  void send() {
    const std::uint64_t now = sim::now_ns();
    for (; next_ < datagrams_.size() && datagrams_[next_].at_ns <= now; ++next_) {
      const sim::SentDatagram& d = datagrams_[next_];
      if (sockets_[d.from]->SendTo(ns3::Create<ns3::Packet>(zeroes_, d.bytes), 0, ends_[d.to]) < 0) ++refused_;
    }
    if (next_ < datagrams_.size()) sim::at(datagrams_[next_].at_ns, [this] { send(); });
  }

  const plan::Plan& plan_;
  std::vector<sim::SentDatagram> datagrams_;
  std::size_t next_ = 0;
  std::vector<link::LinkModel> directions_;  // for Routes only
  std::unique_ptr<sim::Routes> routes_;
  std::vector<Ptr<ns3::Node>> nodes_;
  std::vector<ns3::Ipv4Address> addresses_;
  std::unordered_map<std::uint32_t, plan::Index> by_address_;  // looked up only
  std::vector<ns3::NetDeviceContainer> devices_;               // by link
  std::vector<Ptr<ns3::Socket>> sockets_;                      // by process
  std::vector<ns3::Address> ends_;                             // by process
  std::uint64_t received_ = 0, received_bytes_ = 0, refused_ = 0;
  const std::uint8_t zeroes_[65'536] = {};
};

int complain(const Error& error) {
  fmt::print(stderr, "udp_baseline: {}\n", error.text());
  return static_cast<int>(error.code);
}

Expected<void> refuse_what_is_not_plain(const plan::Plan& plan) {
  const auto no = [](std::string where) { return fail(Exit::usage, std::move(where), "plain ns-3 has none of that"); };
  if (!plan.faults.empty()) return no("/faults");
  if (plan.tenants.size() != 1) return no("/tenants");
  for (std::size_t l = 0; l < plan.links.size(); ++l) {
    for (const plan::Impairments* is : {&plan.links[l].a_to_b, &plan.links[l].b_to_a}) {
      const bool plain = is->loss.kind != plan::LossKind::gilbert_elliott &&
                         is->jitter.kind == plan::JitterKind::none && is->reorder == 0 && is->duplicate == 0 &&
                         is->delay_trace.empty() && is->rate_trace_ms.empty();
      if (!plain || plan.links[l].kind != plan::LinkKind::model) return no("/links/" + std::to_string(l));
    }
    // A point-to-point channel has one delay, and its devices here one rate and queue; loss alone may differ.
    const plan::Impairments &one = plan.links[l].a_to_b, &other = plan.links[l].b_to_a;
    const bool alike = one.rate_bps == other.rate_bps && one.delay_ns == other.delay_ns &&
                       one.mtu_bytes == other.mtu_bytes && one.queue.kind == other.queue.kind &&
                       one.queue.bytes == other.queue.bytes;
    if (!alike) return no("/links/" + std::to_string(l) + "/b_to_a");
  }
  return {};
}

int run(const std::string& plan_path, const std::string& datagrams_path, const std::string& out) {
  const auto plan = plan::read_plan(plan_path);
  if (!plan) return complain(plan.error());
  if (auto plain = refuse_what_is_not_plain(*plan); !plain) return complain(plain.error());
  auto datagrams = sim::DatagramLog::read(datagrams_path);
  if (!datagrams) return complain(datagrams.error());
  for (const sim::SentDatagram& d : *datagrams) {
    if (d.from < plan->processes.size() && d.to < plan->processes.size() && d.bytes < 65'508) continue;
    return complain({Exit::usage, datagrams_path, "is not of this plan"});
  }
  ns3::ObjectFactory scheduler;  // the fastest of its own
  scheduler.SetTypeId(ns3::PriorityQueueScheduler::GetTypeId());
  ns3::Simulator::SetScheduler(scheduler);
  Baseline baseline(*plan, std::move(*datagrams));
  if (auto built = baseline.build(); !built) return complain(built.error());
  baseline.start();
  ns3::Simulator::Run();
  std::ofstream json(out);
  json << fmt::format(
      "{{\n  \"events\": {},\n  \"received\": {},\n  \"received_bytes\": {},\n  \"refused\": {},\n  \"sent\": {}\n}}\n",
      ns3::Simulator::GetEventCount(), baseline.received(), baseline.received_bytes(), baseline.refused(),
      baseline.sent());
  json.flush();
  return json ? 0 : complain({Exit::cannot, out, "cannot be written"});
}

}  // namespace

int main(int argc, char** argv) {
  cxxopts::Options cli("udp_baseline", "The datagrams of a run over plain ns-3.");
  cli.add_options()("plan", "the plan (JSON)", cxxopts::value<std::string>())(
      "datagrams", "as portolan-sim --datagrams wrote them", cxxopts::value<std::string>())(
      "out", "what came, as JSON", cxxopts::value<std::string>())("help", "this text");
  try {
    const auto args = cli.parse(argc, argv);
    if (args.count("help") > 0) {
      fmt::print("{}\n", cli.help());
      return 0;
    }
    if (args.count("plan") == 0 || args.count("datagrams") == 0 || args.count("out") == 0) {
      fmt::print(stderr, "udp_baseline: --plan PLAN, --datagrams FILE and --out JSON are needed\n");
      return static_cast<int>(Exit::usage);
    }
    return run(args["plan"].as<std::string>(), args["datagrams"].as<std::string>(), args["out"].as<std::string>());
  } catch (const std::exception& e) {
    fmt::print(stderr, "udp_baseline: {}\n", e.what());
    return static_cast<int>(Exit::usage);
  }
}
