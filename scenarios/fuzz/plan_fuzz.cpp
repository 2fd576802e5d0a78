// Reading plans. The first byte chooses: 0, the rest is a file as it is; else the rest are edits of a whole, valid
// plan, so that what lies behind the schema is reached too. Whatever is accepted is written and read again without
// loss.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "scenarios/fuzz/require.hpp"
#include "scenarios/plan/testing/full_plan.hpp"

namespace portolan::plan {
namespace {

using nlohmann::json;

struct Bytes {
  const std::uint8_t* at;
  std::size_t left;
  std::uint64_t take(std::size_t bytes) {
    std::uint64_t value = 0;
    for (; bytes > 0 && left > 0; --bytes, --left) value = value << 8 | *at++;
    return value;
  }
};

// Every value of the document, in order.
void collect(json& value, std::vector<std::pair<json*, json*>>& out, json* parent) {
  out.emplace_back(&value, parent);
  if (!value.is_structured()) return;
  for (auto& inner : value) collect(inner, out, &value);
}

json replacement(Bytes& in) {
  static const std::int64_t edges[] = {0,          1,          -1,         2,          255,       65'535,
                                       4294967295, 4294967296, 1'000'000,  1'000'001,  180000000, -180000001,
                                       INT64_MAX,  INT64_MIN,  2147483647, -2147483648};
  switch (in.take(1) % 8) {
    case 0:
      return static_cast<std::int64_t>(in.take(8));
    case 1:
      return in.take(8);
    case 2:
      return edges[in.take(1) % std::size(edges)];
    case 3:
      return static_cast<double>(static_cast<std::int64_t>(in.take(4))) / 16;
    case 4: {
      std::string text(in.take(1) % 24, ' ');
      for (char& c : text) c = static_cast<char>(in.take(1));
      return text;
    }
    case 5:
      return nullptr;
    case 6:
      return in.take(1) % 2 == 0;
    default:
      return in.take(1) % 2 == 0 ? json::array() : json::object();
  }
}

void edit(json& document, Bytes& in) {
  std::vector<std::pair<json*, json*>> all;
  collect(document, all, nullptr);
  const auto [value, parent] = all[in.take(2) % all.size()];
  switch (in.take(1) % 6) {
    case 0:
    case 1:
      *value = replacement(in);
      return;
    case 2:  // a copy of what stands elsewhere
      *value = json(*all[in.take(2) % all.size()].first);
      return;
    case 3:  // once more, at the end
      if (value->is_array() && !value->empty()) value->push_back(json((*value)[in.take(1) % value->size()]));
      return;
    case 4:  // gone
      if (parent != nullptr && parent->is_array()) parent->erase(in.take(1) % parent->size());
      return;
    default:
      if (value->is_number_integer()) *value = value->get<std::int64_t>() ^ std::int64_t{1} << in.take(1) % 63;
      return;
  }
}

void check(const std::string& text) {
  const auto plan = from_json(text, "fuzz");
  if (!plan) {
    require(!plan.error().cause.empty(), "a refusal says why");
    return;
  }
  const std::string canonical = to_json(*plan);
  const auto again = from_json(canonical, "fuzz");
  require(again.has_value(), "what was read can be written and read again");
  require(to_json(*again) == canonical, "and says the same");
}

}  // namespace
}  // namespace portolan::plan

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace portolan::plan;
  if (size == 0) return 0;
  if (data[0] == 0) {
    check({reinterpret_cast<const char*>(data) + 1, size - 1});
    return 0;
  }
  static const auto whole = nlohmann::json::parse(to_json(full_plan()));
  auto document = whole;
  Bytes in{data + 1, size - 1};
  for (int edits = 0; in.left > 0 && edits < 8; ++edits) edit(document, in);
  // Text that is no UTF-8 cannot stand in JSON; that case is the raw mode's.
  check(document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  return 0;
}
