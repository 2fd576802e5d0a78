// The compiler as its users meet it: files in, plans or messages out. Wrong scenarios stand in testdata/bad, each with
// the exact messages it must give; after a change on purpose write them again with PORTOLAN_WRITE_EXPECTED=1.
#include "scenarios/compile/compile.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "scenarios/base/hash.hpp"
#include "scenarios/compile/context.hpp"

namespace portolan::compile {
namespace {

namespace fs = std::filesystem;
const fs::path kScenarios = fs::path(PORTOLAN_SOURCE_DIR) / "scenarios";
const fs::path kBad = kScenarios / "compile/testdata/bad";

std::string slurp(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<fs::path> yaml_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string messages_of(const fs::path& file) {
  const auto compiled = compile_file(file.string(), {});
  std::string out;
  for (std::string line : compiled.messages) {
    const std::string folder = file.parent_path().string() + "/";
    for (auto at = line.find(folder); at != std::string::npos; at = line.find(folder)) line.erase(at, folder.size());
    out += line + "\n";
  }
  EXPECT_FALSE(compiled.plan) << file;
  return out;
}

// A file that lives as long as the test.
class Scratch {
 public:
  explicit Scratch(const std::string& text, const std::string& name = "s.yaml")
      : folder_(fs::temp_directory_path() / ("portolan-compile-" + std::to_string(::getpid()))), path_(folder_ / name) {
    fs::create_directories(folder_);
    std::ofstream(path_, std::ios::binary) << text;
  }
  ~Scratch() { fs::remove_all(folder_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path folder_;
  fs::path path_;
};

std::string messages_of_text(const std::string& text) {
  const Scratch file(text);
  return messages_of(file.path());
}

std::vector<fs::path> shipped() {
  auto files = yaml_files(kScenarios);
  for (const auto& file : yaml_files(kScenarios / "tests")) files.push_back(file);
  return files;
}

TEST(WrongScenarios, GiveExactlyTheirMessages) {
  const auto files = yaml_files(kBad);
  EXPECT_GE(files.size(), 25u);
  for (const auto& file : files) {
    const std::string said = messages_of(file);
    fs::path expected = file;
    expected.replace_extension(".expected");
    if (std::getenv("PORTOLAN_WRITE_EXPECTED") != nullptr) std::ofstream(expected) << said;
    EXPECT_FALSE(said.empty()) << file;
    EXPECT_EQ(said, slurp(expected)) << file;
  }
}

// Wrong in shape: the published schema must see it too, or editors that use it would let it pass.
TEST(WrongScenarios, TheSchemaRefusesWrongShapes) {
  for (const char* name : {"unknown-key", "bare-number", "unknown-unit", "not-a-number", "bad-place", "missing-keys",
                           "wrong-shapes", "bad-expectations", "broker-settings", "fault-kinds", "bad-convergence"}) {
    Diagnostics out(name);
    const auto tree = read::parse_yaml(slurp(kBad / (std::string(name) + ".yaml")), out, {"a scenario", "links"});
    ASSERT_TRUE(tree) << name;
    EXPECT_FALSE(fits_schema(*tree)) << name;
  }
}

// Some rehearse just that: more than a link can carry.
bool overloads_on_purpose(const std::filesystem::path& file) {
  const std::string name = file.stem().string();
  return name == "ecn" || name == "growing-load" || name == "rate-alone" || name == "rate-lossy" ||
         name == "rate-share" || name == "rate-bulk";
}

TEST(Shipped, EveryScenarioIsValidWithoutWarning) {
  const auto files = shipped();
  EXPECT_GE(files.size(), 15u);
  for (const auto& file : files) {
    const auto compiled = compile_file(file.string(), {});
    EXPECT_TRUE(compiled.plan) << file;
    if (overloads_on_purpose(file)) {
      ASSERT_EQ(compiled.messages.size(), 1u) << file;
      EXPECT_NE(compiled.messages[0].find("more than its rate"), std::string::npos) << compiled.messages[0];
      continue;
    }
    for (const auto& line : compiled.messages) ADD_FAILURE() << line;
  }
}

TEST(Shipped, PlansAreTheSameBytesAndReadBack) {
  for (const auto& file : shipped()) {
    const auto first = compile_file(file.string(), {});
    const auto second = compile_file(file.string(), {});
    ASSERT_TRUE(first.plan && second.plan) << file;
    const std::string text = plan::to_json(*first.plan);
    EXPECT_EQ(text, plan::to_json(*second.plan)) << file;
    const auto read = plan::from_json(text, "plan.json");
    ASSERT_TRUE(read) << file << ": " << read.error().text();
    EXPECT_EQ(plan::to_json(*read), text) << file;
    Options other;
    other.seed = first.plan->seed + 1;
    EXPECT_NE(text, plan::to_json(*compile_file(file.string(), other).plan)) << file;
  }
}

// The folder in which a scenario lies is not part of its plan.
TEST(Shipped, PlansDoNotDependOnWhereTheFileLies) {
  const fs::path file = kScenarios / "quickstart.yaml";
  const Scratch copy(slurp(file), "quickstart.yaml");
  EXPECT_EQ(plan::to_json(*compile_file(file.string(), {}).plan),
            plan::to_json(*compile_file(copy.path().string(), {}).plan));
}

TEST(Shipped, NorthSeaIsWhatItSays) {
  const auto compiled = compile_file((kScenarios / "north-sea.yaml").string(), {});
  ASSERT_TRUE(compiled.plan);
  const plan::Plan& p = *compiled.plan;
  EXPECT_EQ(p.harbours.size(), 12u);
  for (const char* name :
       {"berlin", "rotterdam", "hamburg", "antwerp", "gdansk", "gothenburg", "le-havre", "felixstowe"}) {
    EXPECT_TRUE(std::any_of(p.harbours.begin(), p.harbours.end(), [&](const auto& h) { return h.name == name; }))
        << name;
  }
  const auto to = receivers(p);
  const auto rates = stream_rates(p, kScenarios.string() + "/");
  double deliveries = 0;
  std::size_t vessels = 0;
  for (std::size_t s = 0; s < p.streams.size(); ++s) {
    deliveries += rates[s].messages * static_cast<double>(to[s].size());
    if (p.topics[p.streams[s].topic].family != "ais/+/position") continue;
    ++vessels;
    EXPECT_GE(to[s].size(), 4u);
  }
  EXPECT_EQ(vessels, 200u);
  EXPECT_GE(deliveries, 60'000);
  EXPECT_EQ(p.faults.size(), 3u);
}

// Cutting a file anywhere gives messages or, where the rest is whole, a plan; never anything else.
TEST(HostileFiles, TruncatedAnywhere) {
  const std::string text = slurp(kScenarios / "north-sea.yaml");
  const Scratch file("");
  std::size_t refused = 0;
  for (std::size_t cut = 0; cut < text.size(); cut += 61) {
    std::ofstream(file.path(), std::ios::binary | std::ios::trunc) << text.substr(0, cut);
    const auto compiled = compile_file(file.path().string(), {});
    if (!compiled.plan) ++refused;
    EXPECT_TRUE(compiled.plan || !compiled.messages.empty()) << cut;
  }
  EXPECT_GT(refused, 20u);
}

// Bytes changed, taken out or doubled at random (by a fixed seed): messages or a plan, and the plan is one.
TEST(HostileFiles, Mutated) {
  const Scratch file("");
  std::uint64_t draw = 0;
  for (const char* name : {"quickstart.yaml", "north-sea.yaml", "two-tenants.yaml", "lossy-radio.yaml"}) {
    const std::string text = slurp(kScenarios / name);
    for (int i = 0; i < 150; ++i) {
      std::string wrong = text;
      for (int change = 0; change < 3; ++change) {
        const std::size_t at = below64(draw64(7, ++draw), wrong.size());
        const std::size_t length = 1 + below64(draw64(8, draw), 12);
        switch (below64(draw64(9, draw), 4)) {
          case 0:
            wrong[at] = "[]{}:,-#&*!|>'\"%@`0 \n\t"[below64(draw64(10, draw), 23)];
            break;
          case 1:
            wrong.erase(at, length);
            break;
          case 2:
            wrong.insert(at, wrong.substr(at, length));
            break;
          default:
            std::swap(wrong[at], wrong[below64(draw64(11, draw), wrong.size())]);
            break;
        }
      }
      std::ofstream(file.path(), std::ios::binary | std::ios::trunc) << wrong;
      const auto compiled = compile_file(file.path().string(), {});
      ASSERT_TRUE(compiled.plan || !compiled.messages.empty()) << wrong;
      if (!compiled.plan) continue;
      const auto read = plan::from_json(plan::to_json(*compiled.plan), "plan.json");
      ASSERT_TRUE(read) << read.error().text() << "\n" << wrong;
    }
  }
}

TEST(HostileFiles, EmptyAndUnreadable) {
  const std::string empty =
      "s.yaml:1:1: the file is empty; a scenario needs at least duration, harbours, links, clients, topics and load\n";
  EXPECT_EQ(messages_of_text(""), empty);
  EXPECT_EQ(messages_of_text("# only a comment\n"), empty);
  EXPECT_EQ(messages_of_text("just words"),
            "s.yaml:1:1: must be a map of keys and values; valid keys: title, duration, seed, "
            "settle, drain, convergence, overlay, fragment, security, broker, calibration, harbours, tenants, "
            "models, links, clients, topics, load, faults, expect\n");
  EXPECT_EQ(messages_of(kBad / "absent.yaml"),
            "absent.yaml:1:1: cannot be opened; name a scenario file, such as scenarios/quickstart.yaml\n");
  EXPECT_EQ(compile_file("/", {}).messages.at(0),
            "/:1:1: cannot be read; name a scenario file, such as scenarios/quickstart.yaml");
}

TEST(HostileFiles, NotText) {
  EXPECT_EQ(messages_of_text("title: caf\xE9\n"), "s.yaml:1:11: byte 0xE9 is not UTF-8; save the file as UTF-8\n");
  EXPECT_EQ(messages_of_text("title: x\nduration: \xED\xA0\x80\n"),
            "s.yaml:2:11: byte 0xED is not UTF-8; save the file as UTF-8\n");
  EXPECT_EQ(messages_of_text(std::string("\xFF\xFE"
                                         "d\0u\0",
                                         6)),
            "s.yaml:1:1: byte 0xFF is not UTF-8; save the file as UTF-8\n");
  EXPECT_EQ(messages_of_text(std::string("a: b\0", 5)), "s.yaml:1:5: a control character; this is not a text file\n");
  EXPECT_EQ(messages_of_text("\x7F"
                             "ELF"),
            "s.yaml:1:1: a control character; this is not a text file\n");
}

TEST(HostileFiles, Huge) {
  EXPECT_EQ(messages_of_text(std::string(kMaxFileBytes + 1, '#')),
            "s.yaml:1:1: is larger than 8 MiB; name a scenario file, such as scenarios/quickstart.yaml\n");
  // As large as is allowed, and nothing but one value.
  EXPECT_NE(messages_of_text("title: " + std::string(4 << 20, 'x') + "\n"), "");
  std::string many = "harbours:\n";
  for (int i = 0; i < 5'000; ++i) many += "  h" + std::to_string(i) + ": 1 N, 1 E\n";
  EXPECT_NE(messages_of_text(many).find("harbours: more than 4096 harbours"), std::string::npos);
}

TEST(HostileFiles, DeepOrSelfReferring) {
  EXPECT_NE(messages_of_text("a: " + std::string(40, '[') + std::string(40, ']')).find("nested more than 32 deep"),
            std::string::npos);
  EXPECT_NE(messages_of_text(std::string(1 << 20, '[')).find("s.yaml:1:"), std::string::npos);
  EXPECT_NE(messages_of_text(std::string(200'000, '{')).find("s.yaml:1:"), std::string::npos);
  // "Billion laughs": ten lists of ten, each made of the one before.
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int k = 1; k < 10; ++k) bomb += ", " + before;
    bomb += "]\n";
  }
  EXPECT_NE(messages_of_text(bomb).find("more than 500000 values"), std::string::npos);
  EXPECT_NE(messages_of_text("a: &a [*a]\n"), "");
  EXPECT_NE(messages_of_text("? [x]\n: y\n").find("a key must be plain text"), std::string::npos);
}

TEST(Plan, DelayIsConstantAndDistance) {
  const auto compiled = compile_file((kScenarios / "quickstart.yaml").string(), {});
  ASSERT_TRUE(compiled.plan);
  const auto& links = compiled.plan->links;
  const auto link =
      std::find_if(links.begin(), links.end(), [](const auto& l) { return l.name == "hamburg--rotterdam"; });
  ASSERT_NE(link, links.end());
  EXPECT_NEAR(static_cast<double>(link->distance_m), 430'000, 2'000);
  EXPECT_EQ(link->a_to_b.delay_ns, 200'000 + static_cast<Ns>(link->distance_m * 6'600'000 / 1'000'000));
  EXPECT_EQ(link->floor_ns, floor_of(link->distance_m));
  EXPECT_EQ(link->a_to_b.queue.bytes, 12'500'000u) << "10 ms of 10 Gbit/s";
}

TEST(Plan, OneWayAndTowards) {
  std::string text = slurp(kScenarios / "quickstart.yaml");
  const auto replace = [&](const std::string& from, const std::string& to) {
    ASSERT_NE(text.find(from), std::string::npos) << from;
    text.replace(text.find(from), from.size(), to);
  };
  replace("- cut: hamburg -- rotterdam", "- cut: [rotterdam -> hamburg, felixstowe -- hamburg]");
  replace("hamburg -- felixstowe: internet",
          "hamburg -- felixstowe: {model: internet, towards: {hamburg: {loss: 1 %, rate: 2 Mbit/s, queue: 100 ms}}}");
  const Scratch file(text);
  const auto compiled = compile_file(file.path().string(), {});
  ASSERT_TRUE(compiled.plan) << (compiled.messages.empty() ? "" : compiled.messages[0]);
  const plan::Plan& p = *compiled.plan;
  ASSERT_EQ(p.faults.size(), 2u);
  EXPECT_EQ(p.links[p.faults[0].links.at(0)].name, "hamburg--rotterdam");
  EXPECT_EQ(p.faults[0].way, plan::Way::b_to_a);
  EXPECT_EQ(p.faults[1].way, plan::Way::both);
  const plan::Link& link = p.links[p.faults[1].links.at(0)];
  EXPECT_EQ(link.name, "hamburg--felixstowe");
  EXPECT_EQ(link.a_to_b.loss.kind, plan::LossKind::gilbert_elliott);
  EXPECT_EQ(link.b_to_a.loss.kind, plan::LossKind::uniform);
  EXPECT_EQ(link.b_to_a.loss.probability, 10'000'000u);
  EXPECT_EQ(link.b_to_a.rate_bps, 2'000'000u);
  EXPECT_EQ(link.b_to_a.queue.bytes, 65'536u) << "100 ms are 25 kB; one segment must fit";
}

TEST(Plan, GilbertElliottDwellsMakeTheMean) {
  const auto compiled = compile_file((kScenarios / "lossy-radio.yaml").string(), {});
  ASSERT_TRUE(compiled.plan);
  const auto& links = compiled.plan->links;
  const auto link = std::find_if(links.begin(), links.end(), [](const auto& l) { return l.model == "rough-radio"; });
  ASSERT_NE(link, links.end());
  const auto& loss = link->a_to_b.loss;
  EXPECT_EQ(loss.bad_dwell_ns, 20'000'000);
  EXPECT_EQ(loss.good_dwell_ns, 380'000'000);
}

TEST(Plan, TenantsShareAddressesAndNothingElse) {
  const auto compiled = compile_file((kScenarios / "two-tenants.yaml").string(), {});
  ASSERT_TRUE(compiled.plan);
  const plan::Plan& p = *compiled.plan;
  std::map<std::string, std::set<Index>> by_address;
  for (const auto& n : p.nodes) {
    if (n.kind == plan::NodeKind::service) by_address[n.address].insert(n.tenant);
  }
  EXPECT_EQ(by_address.size(), 3u);
  for (const auto& [address, tenants] : by_address) EXPECT_EQ(tenants.size(), 2u) << address;
  for (const auto& process : p.processes) {
    for (Index peer : process.peers) EXPECT_EQ(p.processes[peer].tenant, process.tenant);
  }
  ASSERT_EQ(p.faults.size(), 1u);
  ASSERT_EQ(p.faults[0].processes.size(), 1u);
  EXPECT_EQ(p.processes[p.faults[0].processes[0]].name, "hamburg/green/broker");
}

constexpr const char* kSmall = R"(duration: 30 s
harbours:
  a: 50 N, 0 E
  b: 51 N, 0 E
  c: 52 N, 0 E
links:
  a -- b: {delay: 5 ms, rate: 10 Mbit/s}
  b -- c: {delay: 5 ms, rate: 40 Mbit/s}
clients:
  source: {at: a}
  sink: {at: [b, c], subscribe: t/x}
topics:
  t/x: {retain: 5 s}
load:
  l: {kind: periodic, topic: t/x, publisher: source, every: 100 ms, size: 200 B}
)";

TEST(Plan, PacingHasNoBoundUnlessTheScenarioSaysOne) {
  const auto rates = [](const std::string& more) {
    const Scratch file(std::string(kSmall) + more);
    const auto compiled = compile_file(file.path().string(), {});
    EXPECT_TRUE(compiled.plan);
    std::vector<std::uint64_t> found;
    for (const auto& p : compiled.plan->processes) {
      if (p.kind == plan::ProcessKind::broker) found.push_back(p.send_rate_bps);
    }
    return found;
  };
  EXPECT_EQ(rates(""), (std::vector<std::uint64_t>{0, 0, 0}));
  EXPECT_EQ(rates("broker: {pacing: 4 Mbit/s}\n"), (std::vector<std::uint64_t>{4'000'000, 4'000'000, 4'000'000}));
}

std::string warnings_of(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  const Scratch file(at == std::string::npos ? text : text.replace(at, from.size(), to));
  const auto compiled = compile_file(file.path().string(), {});
  EXPECT_TRUE(compiled.plan);
  std::string out;
  for (const auto& line : compiled.messages) out += line.substr(line.rfind("s.yaml")) + "\n";
  return out;
}

TEST(Warnings, LoadBeyondTheRateOfALink) {
  EXPECT_EQ(
      warnings_of(kSmall, "every: 100 ms, size: 200 B", "every: 10 ms, size: 20 KiB"),
      "s.yaml:7:3: warning: links.a--b: is offered about 34.668 Mbit/s towards b, more than its rate of 10 Mbit/s\n");
}

TEST(Warnings, RetentionShorterThanAnOutage) {
  EXPECT_EQ(warnings_of(kSmall, "load:", "faults:\n  - {cut: a -- b, at: 5 s, for: 6 s}\nload:"),
            "s.yaml:13:3: warning: topics.t/x.retain: keeps 5 s, but \"cut a -- b\" separates a and b for 6 s: expect "
            "gaps, or "
            "keep it as long\n");
  EXPECT_EQ(
      warnings_of(kSmall, "load:", "expect:\n  - {gaps: 100}\nfaults:\n  - {cut: a -- b, at: 5 s, for: 6 s}\nload:"),
      "");
  EXPECT_EQ(warnings_of(kSmall, "load:", "faults:\n  - {cut: a -- b, at: 5 s, for: 5 s}\nload:"), "");
}

TEST(Warnings, TopicsThatNobodyPublishesOrReads) {
  EXPECT_EQ(warnings_of(kSmall, "load:", "  t/y: {}\nload:"),
            "s.yaml:14:3: warning: topics.t/y: nobody publishes on it; add a load or remove it\n"
            "s.yaml:14:3: warning: topics.t/y: nobody subscribes to it; nothing of it will be judged\n");
}

TEST(Plan, ThousandHarboursCompileInSeconds) {
  std::string text = "duration: 5 s\nharbours:\n";
  for (int i = 0; i < 1000; ++i) {
    text += "  h" + std::to_string(i) + ": {at: \"" + std::to_string(40 + i / 50) + ".5 N, " + std::to_string(i % 50) +
            ".25 E\", hub: " +
            (i < 30 ? "true" : "h" + std::to_string(i % 30) + ", standby: h" + std::to_string((i + 1) % 30)) + "}\n";
  }
  text += "links:\n";
  for (int i = 1; i < 1000; ++i)
    text += "  h" + std::to_string(i / 2) + " -- h" + std::to_string(i) + ": leased-fibre\n";
  text +=
      "clients:\n  c: {at: all, subscribe: t/h7}\ntopics:\n  t/{harbour}: {}\nload:\n"
      "  l: {kind: poisson, topic: \"t/{harbour}\", publisher: c, every: 1 s, size: 200 B}\n";
  const Scratch file(text);
  const auto compiled = compile_file(file.path().string(), {});
  ASSERT_TRUE(compiled.plan) << compiled.messages.at(0);
  EXPECT_EQ(compiled.plan->processes.size(), 2000u);
}

// Broker and role of each peer, in words.
std::string peers_of(const plan::Plan& p, const std::string& name) {
  constexpr const char* kRoles[] = {"mesh", "hub", "standby", "leaf", "standby-leaf"};
  const auto at = std::find_if(p.processes.begin(), p.processes.end(), [&](const auto& x) { return x.name == name; });
  if (at == p.processes.end()) return "none";
  std::string out;
  for (std::size_t i = 0; i < at->peers.size(); ++i) {
    const std::string& peer = p.processes[at->peers[i]].name;
    out += peer.substr(0, peer.find('/')) + ":" + kRoles[static_cast<int>(at->peer_roles[i])] + " ";
  }
  return out;
}

const std::string kRest =
    "clients:\n  crane: {at: all, subscribe: t/#}\ntopics:\n  t/{harbour}: {}\nload:\n"
    "  l: {kind: periodic, topic: \"t/{harbour}\", publisher: crane, every: 1 s, size: 200 B}\n";
const std::string kPair =
    "duration: 20 s\nharbours:\n  hamburg: 53.54 N, 9.98 E\n  oslo: 59.90 N, 10.75 E\nlinks:\n"
    "  hamburg -- oslo: {delay: 10 ms, rate: 8 Mbit/s}\n";

TEST(Hubs, LeavesHoldHubAndStandbyAndHubsTheirLeaves) {
  const Scratch file(
      "duration: 5 s\nharbours:\n"
      "  hamburg: {at: \"53.54 N, 9.98 E\", hub: true}\n  rotterdam: {at: \"51.95 N, 4.14 E\", hub: true}\n"
      "  oslo: {at: \"59.90 N, 10.75 E\", hub: hamburg, standby: rotterdam}\n"
      "  antwerp: {at: \"51.28 N, 4.30 E\", hub: rotterdam}\n"
      "links:\n  hamburg -- rotterdam: internet\n  hamburg -- oslo: internet\n  rotterdam -- antwerp: internet\n" +
      kRest);
  const auto compiled = compile_file(file.path().string(), {});
  ASSERT_TRUE(compiled.plan) << compiled.messages.at(0);
  const plan::Plan& p = *compiled.plan;
  EXPECT_EQ(peers_of(p, "hamburg/main/broker"), "rotterdam:mesh oslo:leaf ");
  EXPECT_EQ(peers_of(p, "rotterdam/main/broker"), "hamburg:mesh oslo:standby-leaf antwerp:leaf ");
  EXPECT_EQ(peers_of(p, "oslo/main/broker"), "hamburg:hub rotterdam:standby ");
  EXPECT_EQ(peers_of(p, "antwerp/main/broker"), "rotterdam:hub ");
  EXPECT_EQ(plan::broker_way(p, 2, 3), (std::vector<Index>{2, 0, 1, 3}));
  EXPECT_EQ(plan::broker_way(p, 0, 2), (std::vector<Index>{0, 2}));
  EXPECT_EQ(plan::broker_way(p, 2, 0), (std::vector<Index>{2, 0}));
  EXPECT_EQ(plan::broker_way(p, 3, 3), (std::vector<Index>{3}));
}

TEST(Generate, HubsLeavesAndLinksAreThoseOfTheSeed) {
  const auto text = [](int leaves) {
    return "duration: 5 s\nharbours:\n  generate: {hubs: {hamburg: \"53.54 N, 9.98 E\", rotterdam: \"51.95 N, 4.14 "
           "E\", "
           "oslo: \"59.90 N, 10.75 E\"}, leaves: " +
           std::to_string(leaves) +
           ", within: 50 km, uplink: internet, backbone: leased-fibre, nearest: 1}\n"
           "clients:\n  crane: {at: all, subscribe: \"t/{hub}/+\"}\ntopics:\n  t/{hub}/{harbour}: {}\nload:\n"
           "  l: {kind: periodic, topic: \"t/{hub}/{harbour}\", publisher: crane, every: 1 s, size: 200 B}\n";
  };
  const auto made = [&](int leaves, std::optional<std::uint64_t> seed = std::nullopt) {
    const Scratch file(text(leaves));
    Options options;
    options.seed = seed;
    auto compiled = compile_file(file.path().string(), options);
    EXPECT_TRUE(compiled.plan) << compiled.messages.at(0);
    return std::move(*compiled.plan);
  };
  const plan::Plan p = made(7);
  ASSERT_EQ(p.harbours.size(), 10u);
  EXPECT_EQ(p.harbours[3].name, "hamburg-1");
  EXPECT_EQ(p.harbours[9].name, "hamburg-3");
  std::size_t backbone = 0;
  for (const auto& l : p.links) backbone += l.model == "leased-fibre" ? 1 : 0;
  EXPECT_EQ(backbone, 2u) << "a tree of three";
  for (std::size_t h = 3; h < p.harbours.size(); ++h) {
    const auto& leaf = p.harbours[h];
    EXPECT_EQ(leaf.hub, (h - 3) % 3);
    EXPECT_TRUE(p.harbours[leaf.standby].is_hub);
    EXPECT_NE(leaf.standby, leaf.hub);
    EXPECT_LE(distance_between(leaf, p.harbours[leaf.hub]), 50'200u);
  }
  EXPECT_EQ(p.harbours[p.harbours[3].standby].name, "rotterdam") << "the next hub from Hamburg";
  // One more leaf moves no other; another seed moves all.
  const plan::Plan more = made(8);
  EXPECT_EQ(more.harbours[5].lat_udeg, p.harbours[5].lat_udeg);
  const plan::Plan other = made(7, 99);
  for (std::size_t h = 3; h < p.harbours.size(); ++h) EXPECT_NE(other.harbours[h].lat_udeg, p.harbours[h].lat_udeg);
  // Topics and filters are each harbour's own hub's.
  for (const auto& process : p.processes) {
    if (process.name != "hamburg-2/main/crane") continue;
    EXPECT_EQ(process.subscriptions.at(0).filter, "t/hamburg/+");
  }
  const auto named = [&](const char* name) {
    return std::any_of(p.topics.begin(), p.topics.end(), [&](const auto& t) { return t.name == name; });
  };
  EXPECT_TRUE(named("t/hamburg/hamburg-2"));
  EXPECT_TRUE(named("t/oslo/oslo"));
  EXPECT_EQ(p.topics.size(), 10u);
}

TEST(Generate, TooManyLeavesForTheCircleAreAnErrorAtOnce) {
  const Scratch file(
      "duration: 5 s\nharbours:\n  generate: {hubs: {hamburg: \"53.54 N, 9.98 E\"}, leaves: 4000, within: 1 km, "
      "uplink: internet, backbone: leased-fibre}\nclients:\n  crane: {at: all, subscribe: \"t/+\"}\ntopics:\n  "
      "t/{hub}: {}\nload:\n  l: {kind: periodic, topic: \"t/{hub}\", publisher: crane, every: 1 s, size: 200 B}\n");
  const auto compiled = compile_file(file.path().string(), {});
  EXPECT_FALSE(compiled.plan);
  ASSERT_FALSE(compiled.messages.empty());
  EXPECT_NE(compiled.messages[0].find("no room round hamburg for leaf"), std::string::npos) << compiled.messages[0];
}

TEST(Hubs, MoreThanAMeshHoldsAreAnError) {
  std::string text = "duration: 5 s\nharbours:\n";
  for (int h = 0; h < 65; ++h)
    text += "  h" + std::to_string(h) + ": {at: \"53 N, " + std::to_string(h) + " E\", hub: true}\n";
  const Scratch file(text +
                     "clients:\n  crane: {at: all, subscribe: \"t/+\"}\ntopics:\n  t/{hub}: {}\nload:\n  l: {kind: "
                     "periodic, topic: \"t/{hub}\", publisher: crane, every: 1 s, size: 200 B}\n");
  const auto compiled = compile_file(file.path().string(), {});
  EXPECT_FALSE(compiled.plan);
  EXPECT_TRUE(std::any_of(compiled.messages.begin(), compiled.messages.end(), [](const std::string& m) {
    return m.find("65 hubs; they hold sessions each with each, so at most 64") != std::string::npos;
  })) << compiled.messages.at(0);
}

TEST(Access, StationsGetMachinesOfTheirOwnOnOneChannel) {
  const Scratch file(
      "duration: 5 s\nharbours:\n  hamburg: {at: \"53.54 N, 9.98 E\", access: {kind: wifi, standard: 802.11ax-5GHz, "
      "width: 80 MHz, power: 23 dBm}}\nclients:\n  crane: {at: hamburg, count: 20, access: {within: 300 m, speed: 8 "
      "m/s}, "
      "subscribe: t/#}\n  office: {at: hamburg}\ntopics:\n  t/{harbour}: {}\nload:\n"
      "  l: {kind: periodic, topic: \"t/{harbour}\", publisher: office, every: 1 s, size: 200 B}\n");
  const auto compiled = compile_file(file.path().string(), {});
  ASSERT_TRUE(compiled.plan) << compiled.messages.at(0);
  const plan::Plan& p = *compiled.plan;
  ASSERT_EQ(p.media.size(), 1u);
  EXPECT_EQ(p.media[0].name, "hamburg/main/wifi");
  EXPECT_EQ(p.media[0].wifi.width_mhz, 80u);
  std::set<std::string> addresses;
  std::set<std::int64_t> places;
  for (const auto& n : p.nodes) {
    addresses.insert(n.address);
    if (n.kind != plan::NodeKind::station) continue;
    EXPECT_LE(n.motion.x_mm * n.motion.x_mm + n.motion.y_mm * n.motion.y_mm, 300'000ll * 300'000);
    EXPECT_EQ(n.motion.speed_mm_s, 8'000u);
    places.insert(n.motion.x_mm);
  }
  EXPECT_EQ(addresses.size(), p.nodes.size());
  EXPECT_EQ(places.size(), 20u);
  std::size_t stations = 0;
  for (const auto& l : p.links) {
    if (l.model != "access") continue;
    ++stations;
    EXPECT_EQ(l.kind, plan::LinkKind::wifi);
    EXPECT_EQ(l.medium, 0u);
    EXPECT_EQ(p.nodes[l.b].kind, plan::NodeKind::station);
  }
  EXPECT_EQ(stations, 20u);
  for (const auto& process : p.processes) {
    const bool on_station = p.nodes[process.node].kind == plan::NodeKind::station;
    EXPECT_EQ(on_station, process.name.find("crane") != std::string::npos) << process.name;
  }
}

TEST(Convergence, ConstantOrPartsAndItsLongest) {
  const Scratch constant(kPair.substr(0, 15) + "convergence: 300 ms\n" + kPair.substr(15) + kRest);
  const auto one = compile_file(constant.path().string(), {});
  ASSERT_TRUE(one.plan) << one.messages.at(0);
  EXPECT_EQ(one.plan->convergence_ns, 300'000'000);
  EXPECT_EQ(one.plan->convergence.detection.least_ns, 300'000'000);
  EXPECT_EQ(one.plan->convergence.detection.more.kind, plan::JitterKind::none);
  const Scratch parts(
      kPair.substr(0, 15) +
      "convergence: {detection: bfd, propagation: {least: 5 ms, exponential: 10 ms, max: 50 ms}, install: "
      "20 ms}\n" +
      kPair.substr(15) + kRest);
  const auto three = compile_file(parts.path().string(), {});
  ASSERT_TRUE(three.plan) << three.messages.at(0);
  EXPECT_EQ(three.plan->convergence_ns, 150'000'000 + 55'000'000 + 20'000'000);
  EXPECT_EQ(three.plan->convergence.propagation.more.scale_ns, 10'000'000);
  EXPECT_EQ(three.plan->convergence.install.least_ns, 20'000'000);
}

TEST(Expectations, AQueueOfNoBandwidthDelayProductIsAnErrorNotForgotten) {
  const Scratch file(
      "duration: 5 s\nmodels:\n  short: {delay: 0 ms, rate: 8 Mbit/s}\nharbours:\n  hamburg: 53.54 N, 9.98 E\n  "
      "oslo: 59.90 N, 10.75 E\nlinks:\n  hamburg -- oslo: short\n" +
      kRest + "expect:\n  - {link: hamburg -> oslo, queue-at-most: \"1.5\"}\n");
  const auto compiled = compile_file(file.path().string(), {});
  EXPECT_FALSE(compiled.plan);
  EXPECT_TRUE(std::any_of(compiled.messages.begin(), compiled.messages.end(), [](const std::string& m) {
    return m.find("less than a byte in its bandwidth-delay product") != std::string::npos;
  })) << (compiled.messages.empty() ? "no message" : compiled.messages[0]);
}

TEST(Expectations, OfLinksWindowsAndRatios) {
  const Scratch file(
      kPair + kRest +
      "expect:\n  - {link: hamburg -> oslo, utilisation-at-least: 90 %, queue-at-most: \"1.5\", after: 2 s}\n"
      "  - {of: t/+, link: oslo -- hamburg, goodput-at-least: 85 %}\n"
      "  - {of: t/+, goodput-at-least: 5 Mbit/s, until: 9 s}\n"
      "  - {fairness-at-least: \"0.9\", between: publishers}\n  - {spurious-repair: 0.5 %}\n"
      "  - {of: t/hamburg, latency-rise: {p99: 2 ms}, after: 12 s, compared-with: {after: 2 s, until: 10 s}}\n");
  const auto compiled = compile_file(file.path().string(), {});
  ASSERT_TRUE(compiled.plan) << compiled.messages.at(0);
  const auto find = [&](plan::ExpectKind kind, std::size_t nth = 0) {
    for (const auto& e : compiled.plan->expectations) {
      if (e.kind == kind && nth-- == 0) return e;
    }
    return plan::Expectation{};
  };
  const auto used = find(plan::ExpectKind::utilisation_least);
  EXPECT_EQ(used.name, "utilisation-at-least on hamburg -> oslo after 2 s");
  EXPECT_EQ(used.limit, 900'000);
  EXPECT_EQ(used.way, plan::Way::a_to_b);
  EXPECT_EQ(used.after_ns, 2'000'000'000);
  const auto queue = find(plan::ExpectKind::queue);
  EXPECT_EQ(queue.limit, 1'500);
  EXPECT_EQ(queue.reference, 20'000u) << "8 Mbit/s for 20 ms there and back";
  EXPECT_EQ(find(plan::ExpectKind::goodput).reference, 8'000'000u);
  EXPECT_EQ(find(plan::ExpectKind::goodput).limit, 850'000);
  EXPECT_EQ(find(plan::ExpectKind::goodput, 1).reference, 5'000'000u);
  EXPECT_EQ(find(plan::ExpectKind::goodput, 1).until_ns, 9'000'000'000);
  EXPECT_EQ(find(plan::ExpectKind::fairness).limit, 900'000);
  EXPECT_EQ(find(plan::ExpectKind::fairness).between, plan::Between::publishers);
  EXPECT_EQ(find(plan::ExpectKind::spurious_repair).limit, 5'000);
  const auto rise = find(plan::ExpectKind::latency_rise);
  EXPECT_EQ(rise.percentile_permyriad, 9'900u);
  EXPECT_EQ(rise.base_until_ns, 10'000'000'000);
  EXPECT_EQ(rise.after_ns, 12'000'000'000);
}

TEST(Cost, CountsWhatTheLoadMakes) {
  const auto compiled = compile_file((kScenarios / "quickstart.yaml").string(), {});
  ASSERT_TRUE(compiled.plan);
  const Cost cost = predict_cost(*compiled.plan, kScenarios.string() + "/");
  // 10 streams x 20/s for 4 of 5 seconds, to three offices.
  EXPECT_NEAR(cost.messages_per_second, 160, 1e-6);
  EXPECT_NEAR(cost.deliveries, 2400, 1e-6);
  ASSERT_EQ(cost.brokers.size(), 3u);
  EXPECT_GE(cost.brokers[0].cpu_share, cost.brokers[2].cpu_share);
  EXPECT_GT(cost.brokers[2].cpu_share, 0);
}

}  // namespace
}  // namespace portolan::compile
