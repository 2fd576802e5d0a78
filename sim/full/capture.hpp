// Packet capture of a run: one file a link, RUN/pcap/<link>.pcap (libpcap's format with nanoseconds; Ethernet frames,
// of ns-3's own devices what those capture: PPP, radiotap), each frame as and when its sender puts it on the wire, so
// also what is lost later. Both directions in one file. Wireshark reads them; scripts/wireshark/portolan.lua explains
// our frames.
#pragma once

#include <ns3/packet.h>
#include <ns3/pcap-file.h>

#include <memory>
#include <string>
#include <vector>

#include "scenarios/base/error.hpp"
#include "scenarios/plan/plan.hpp"
#include "sim/full/link_device.hpp"

namespace portolan::sim {

// Which links to capture: their plan's names, or "all".
struct CaptureOptions {
  std::string folder;  // exists
  std::vector<std::string> links;
  std::string datagrams;  // file of what was sent (datagram_log.hpp); empty: none
};

std::string capture_file_name(const std::string& link);

class Captures {
 public:
  // Refuses a name that is no link's, and says which there are.
  static Expected<std::vector<bool>> chosen(const plan::Plan& plan, const CaptureOptions& options);
  Expected<void> tap(const CaptureOptions& options, const std::string& link, LinkDevice& a, LinkDevice& b);
  // False when a file could not be written to its end.
  bool close();

 private:
  std::vector<std::unique_ptr<ns3::PcapFile>> files_;
};

}  // namespace portolan::sim
