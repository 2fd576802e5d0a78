// Stage: what a broker's work costs, from a file beside the scenario or the placeholder.
#include <nlohmann/json.hpp>

#include "scenarios/compile/context.hpp"

namespace portolan::compile {

void read_calibration(Context& c) {
  std::string text(placeholder_calibration_text);
  Position at;
  for (const auto& e : c.root.entries) {
    if (e.key != "calibration") continue;
    at = e.value.at;
    const auto file = c.input_file(e.value, "calibration");
    if (!file) return;
    text = *file;
    break;
  }
  const auto wrong = [&](const std::string& what) {
    c.out.error(at, "calibration", what + "; see scenarios/calibration/placeholder.json");
  };
  const auto document = nlohmann::json::parse(text, nullptr, false);
  if (!document.is_object()) return wrong("is not a JSON object");
  plan::Calibration& out = c.plan.calibration;
  const auto number = [&](const char* key, Ns& to) {
    const auto found = document.find(key);
    if (found == document.end() || !found->is_number_unsigned() || found->get<std::uint64_t>() > 1'000'000'000) {
      return wrong(std::string("has no \"") + key + "\" of 0 to 1000000000 ns");
    }
    to = found->get<Ns>();
  };
  const auto words = [&](const char* key, std::string& to) {
    const auto found = document.find(key);
    if (found == document.end() || !found->is_string() || found->get_ref<const std::string&>().empty()) {
      return wrong(std::string("has no text \"") + key + "\"");
    }
    to = found->get<std::string>();
  };
  words("name", out.name);
  words("source", out.source);
  number("per_datagram_in_ns", out.per_datagram_in_ns);
  number("per_datagram_out_ns", out.per_datagram_out_ns);
  number("per_message_in_ns", out.per_message_in_ns);
  number("per_message_out_ns", out.per_message_out_ns);
  number("per_timer_ns", out.per_timer_ns);
  number("per_kib_ns", out.per_kib_ns);
  // Files from before there was sealing say nothing of it.
  if (document.contains("per_sealed_datagram_ns")) number("per_sealed_datagram_ns", out.per_sealed_datagram_ns);
  if (document.contains("per_sealed_kib_ns")) number("per_sealed_kib_ns", out.per_sealed_kib_ns);
  out.sha256 = sha256_hex(text);
}

}  // namespace portolan::compile
