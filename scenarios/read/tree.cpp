#include "scenarios/read/tree.hpp"

#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

namespace portolan::read {

std::optional<std::string> read_file(const std::string& path, std::size_t most, std::string& why) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) {
    why = "cannot be opened";
    return std::nullopt;
  }
  std::string text;
  char buffer[65536];
  std::size_t got = 0;
  while ((got = std::fread(buffer, 1, sizeof buffer, file.get())) > 0) {
    text.append(buffer, got);
    if (text.size() > most) {
      why = "is larger than " + std::to_string(most >> 20) + " MiB";
      return std::nullopt;
    }
  }
  if (std::ferror(file.get()) != 0) {
    why = "cannot be read";
    return std::nullopt;
  }
  return text;
}

namespace {

// Length of the UTF-8 sequence at i (RFC 3629), 0 if it is none.
std::size_t utf8_length(const std::string& s, std::size_t i) {
  const auto byte = [&](std::size_t k) { return k < s.size() ? static_cast<unsigned char>(s[k]) : 0u; };
  const auto tail = [&](std::size_t k) { return (byte(k) & 0xC0u) == 0x80u; };
  const unsigned b = byte(i);
  if (b < 0x80) return 1;
  if (b >= 0xC2 && b <= 0xDF) return tail(i + 1) ? 2 : 0;
  if (b >= 0xE0 && b <= 0xEF) {
    if (b == 0xE0 && byte(i + 1) < 0xA0) return 0;
    if (b == 0xED && byte(i + 1) > 0x9F) return 0;
    return tail(i + 1) && tail(i + 2) ? 3 : 0;
  }
  if (b >= 0xF0 && b <= 0xF4) {
    if (b == 0xF0 && byte(i + 1) < 0x90) return 0;
    if (b == 0xF4 && byte(i + 1) > 0x8F) return 0;
    return tail(i + 1) && tail(i + 2) && tail(i + 3) ? 4 : 0;
  }
  return 0;
}

// yaml-cpp would replace wrong bytes in silence, so they are looked for first.
bool check_bytes(const std::string& text, Diagnostics& out) {
  Position at;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text, i);
    const auto byte = static_cast<unsigned char>(text[i]);
    if (length == 0) {
      char hex[8];
      std::snprintf(hex, sizeof hex, "0x%02X", byte);
      out.error(at, "", std::string("byte ") + hex + " is not UTF-8; save the file as UTF-8");
      return false;
    }
    if ((byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t') || byte == 0x7F) {
      out.error(at, "", "a control character; this is not a text file");
      return false;
    }
    if (byte == '\n') {
      ++at.line;
      at.column = 1;
    } else {
      at.column += static_cast<int>(length);
    }
    i += length;
  }
  return true;
}

class Builder {
 public:
  explicit Builder(Diagnostics& out) : out_(out) {}

  bool build(const YAML::Node& from, Tree& to, int depth) {
    to.at = position(from);
    if (++nodes_ > kMaxNodes) {
      out_.error(to.at, "",
                 "more than " + std::to_string(kMaxNodes) + " values (aliases count each time they are used)");
      return false;
    }
    if (depth > kMaxDepth) {
      out_.error(to.at, "", "nested more than " + std::to_string(kMaxDepth) + " deep");
      return false;
    }
    const std::string& tag = from.Tag();
    if (!tag.empty() && tag != "?" && tag != "!") {
      out_.error(to.at, "", "the tag " + tag + " is not known here; leave it out");
    }
    if (from.IsScalar()) {
      to.kind = Tree::Kind::scalar;
      to.text = from.Scalar();
      to.quoted = tag == "!";
      return true;
    }
    if (from.IsSequence()) {
      to.kind = Tree::Kind::list;
      to.items.reserve(from.size());
      for (const YAML::Node& item : from) {
        if (!build(item, to.items.emplace_back(), depth + 1)) return false;
      }
      return true;
    }
    if (from.IsMap()) {
      to.kind = Tree::Kind::map;
      for (const auto& pair : from) {
        if (!pair.first.IsScalar()) {
          out_.error(position(pair.first), "", "a key must be plain text");
          continue;
        }
        Tree::Entry& entry = to.entries.emplace_back();
        entry.key = pair.first.Scalar();
        entry.at = position(pair.first);
        if (!build(pair.second, entry.value, depth + 1)) return false;
        // An empty value has no place of its own; its key's will do.
        if (entry.value.kind == Tree::Kind::null) entry.value.at = entry.at;
      }
      return true;
    }
    to.kind = Tree::Kind::null;
    return true;
  }

 private:
  static Position position(const YAML::Node& node) {
    const YAML::Mark mark = node.Mark();
    return mark.is_null() ? Position{} : Position{mark.line + 1, mark.column + 1};
  }
  Diagnostics& out_;
  std::size_t nodes_ = 0;
};

}  // namespace

std::optional<Tree> parse_yaml(const std::string& text, Diagnostics& out, const Document& document) {
  if (!check_bytes(text, out)) return std::nullopt;
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.empty() || !documents[0] || documents[0].IsNull()) {
      out.error({}, "", "the file is empty; " + document.what + " needs at least " + document.needs);
      return std::nullopt;
    }
    if (documents.size() > 1) {
      const YAML::Mark mark = documents[1].Mark();
      out.error({std::max(mark.line, 0) + 1, std::max(mark.column, 0) + 1}, "",
                "a second YAML document; " + document.what + " is one document, remove the `---`");
      return std::nullopt;
    }
    Tree tree;
    if (!Builder(out).build(documents[0], tree, 0)) return std::nullopt;
    return tree;
  } catch (const YAML::DeepRecursion& e) {
    out.error({e.mark.line + 1, e.mark.column + 1}, "", "nested more than " + std::to_string(kMaxDepth) + " deep");
  } catch (const YAML::ParserException& e) {
    out.error({e.mark.line + 1, e.mark.column + 1}, "", "not YAML: " + e.msg);
  } catch (const YAML::Exception& e) {
    out.error({std::max(e.mark.line, 0) + 1, std::max(e.mark.column, 0) + 1}, "", "not YAML: " + e.msg);
  }
  return std::nullopt;
}

namespace {

bool is_integer(const std::string& s) {
  const std::size_t start = !s.empty() && s[0] == '-' ? 1 : 0;
  return s.size() > start && s.size() - start <= 18 &&
         std::all_of(s.begin() + static_cast<std::ptrdiff_t>(start), s.end(),
                     [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

nlohmann::json to_json(const Tree& tree) {
  switch (tree.kind) {
    case Tree::Kind::null:
      return nullptr;
    case Tree::Kind::scalar:
      if (!tree.quoted && is_integer(tree.text)) return static_cast<std::int64_t>(std::stoll(tree.text));
      if (!tree.quoted && (tree.text == "true" || tree.text == "false")) return tree.text == "true";
      return tree.text;
    case Tree::Kind::list: {
      nlohmann::json list = nlohmann::json::array();
      for (const Tree& item : tree.items) list.push_back(to_json(item));
      return list;
    }
    case Tree::Kind::map: {
      nlohmann::json map = nlohmann::json::object();
      for (const Tree::Entry& entry : tree.entries) map[entry.key] = to_json(entry.value);
      return map;
    }
  }
  return nullptr;
}

const Tree& at_pointer(const Tree& tree, const std::string& pointer) {
  const Tree* node = &tree;
  std::size_t from = 0;
  while (from < pointer.size()) {
    const std::size_t to = std::min(pointer.find('/', from + 1), pointer.size());
    std::string step;
    for (std::size_t i = from + 1; i < to; ++i) {
      if (pointer[i] == '~' && i + 1 < to) {
        step += pointer[++i] == '1' ? '/' : '~';
      } else {
        step += pointer[i];
      }
    }
    from = to;
    const Tree* next = nullptr;
    if (node->is_map()) {
      for (const Tree::Entry& entry : node->entries) {
        if (entry.key == step) next = &entry.value;
      }
    } else if (node->is_list() && is_integer(step)) {
      const auto i = static_cast<std::size_t>(std::stoull(step));
      if (i < node->items.size()) next = &node->items[i];
    }
    if (next == nullptr) return *node;
    node = next;
  }
  return *node;
}

}  // namespace portolan::read
