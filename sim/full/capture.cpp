#include "sim/full/capture.hpp"

#include <ns3/ethernet-header.h>

#include <algorithm>

#include "sim/lean/scheduler.hpp"

namespace portolan::sim {

namespace {

constexpr std::uint32_t kLinkTypeEthernet = 1;  // LINKTYPE_ETHERNET
constexpr std::uint32_t kSnapLength = 65'535;
constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::size_t kNamesToldMost = 20;

void write(ns3::PcapFile& file, const LinkDevice& from, const ns3::Address& to, const ns3::Packet& packet,
           std::uint16_t protocol) {
  ns3::EthernetHeader ethernet(false);
  ethernet.SetSource(ns3::Mac48Address::ConvertFrom(from.GetAddress()));
  ethernet.SetDestination(ns3::Mac48Address::ConvertFrom(to));
  ethernet.SetLengthType(protocol);
  const std::uint64_t now = now_ns();
  file.Write(static_cast<std::uint32_t>(now / kSecond), static_cast<std::uint32_t>(now % kSecond), ethernet,
             packet.Copy());
}

}  // namespace

std::string capture_file_name(const std::string& link) {
  std::string name = link;
  std::replace(name.begin(), name.end(), '/', '.');
  return name + ".pcap";
}

Expected<std::vector<bool>> Captures::chosen(const plan::Plan& plan, const CaptureOptions& options) {
  std::vector<bool> out(plan.links.size(), false);
  for (const std::string& name : options.links) {
    bool found = name == "all";
    for (std::size_t l = 0; l < plan.links.size(); ++l) {
      if (name != "all" && name != plan.links[l].name) continue;
      out[l] = true;
      found = true;
    }
    if (found) continue;
    std::string known;
    for (std::size_t l = 0; l < plan.links.size() && l < kNamesToldMost; ++l) known += ", " + plan.links[l].name;
    if (plan.links.size() > kNamesToldMost) known += ", ...";
    return fail(Exit::usage, "--pcap " + name, "the plan has no such link; it has all" + known);
  }
  return out;
}

Expected<void> Captures::tap(const CaptureOptions& options, const std::string& link, LinkDevice& a, LinkDevice& b) {
  const std::string path = options.folder + "/" + capture_file_name(link);
  auto& file = *files_.emplace_back(std::make_unique<ns3::PcapFile>());
  file.Open(path, std::ios::out | std::ios::binary);
  file.Init(kLinkTypeEthernet, kSnapLength, ns3::PcapFile::ZONE_DEFAULT, false, true);
  if (file.Fail()) return fail(Exit::cannot, path, "cannot be written");
  for (LinkDevice* from : {&a, &b}) {
    const ns3::Address to = (from == &a ? b : a).GetAddress();
    from->set_tap([&file, from, to](const ns3::Packet& packet, std::uint16_t protocol) {
      write(file, *from, to, packet, protocol);
    });
  }
  return {};
}

bool Captures::close() {
  bool whole = true;
  for (const auto& file : files_) {
    whole = whole && !file->Fail();
    file->Close();
  }
  files_.clear();
  return whole;
}

}  // namespace portolan::sim
