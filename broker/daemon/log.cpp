#include "broker/daemon/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdio>

namespace portolan::daemon {

namespace {

void append_json(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      char hex[8];
      std::snprintf(hex, sizeof hex, "\\u%04x", byte);
      out += hex;
    } else {
      out += c;
    }
  }
  out += '"';
}

// A control character could forge a line of its own.
void append_text(std::string& out, std::string_view text) {
  const bool plain = !text.empty() && text.find_first_of(" =\"") == std::string_view::npos;
  if (!plain) out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte == 0x7F ? '?' : c == '"' ? '\'' : c;
  }
  if (!plain) out += '"';
}

spdlog::level::level_enum level_of(Level level) {
  switch (level) {
    case Level::trace:
      return spdlog::level::trace;
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warning:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

const char* name_of(Level level) {
  constexpr const char* kNames[] = {"trace", "debug", "info", "warning", "error"};
  return kNames[static_cast<int>(level)];
}

}  // namespace

std::string log_line(bool json, std::string_view level, std::string_view event, std::initializer_list<Field> fields) {
  std::string out;
  if (json) {
    out += "\"level\":";
    append_json(out, level);
    out += ",\"event\":";
    append_json(out, event);
    for (const Field& f : fields) {
      out += ',';
      append_json(out, f.key);
      out += ':';
      if (f.quoted) {
        append_json(out, f.value);
      } else {
        out += f.value;
      }
    }
    return out + "}";
  }
  out += std::string(level) + " " + std::string(event);
  for (const Field& f : fields) {
    out += " " + f.key + "=";
    append_text(out, f.value);
  }
  return out;
}

struct Logger::State {
  std::shared_ptr<spdlog::logger> out;
  bool json = false;
};

Logger::Logger(std::string_view level, bool json) : s_(std::make_unique<State>()) {
  s_->out = std::make_shared<spdlog::logger>("broker", std::make_shared<spdlog::sinks::stderr_sink_st>());
  s_->json = json;
  // UTC with microseconds, so that the logs of several harbours can be laid side by side.
  s_->out->set_pattern(json ? "{\"time\":\"%Y-%m-%dT%H:%M:%S.%fZ\",%v" : "%Y-%m-%dT%H:%M:%S.%fZ %v",
                       spdlog::pattern_time_type::utc);
  s_->out->flush_on(spdlog::level::trace);
  set_level(level);
}

Logger::~Logger() = default;

void Logger::set_level(std::string_view level) {
  s_->out->set_level(spdlog::level::from_str(std::string(level)));
}

void Logger::operator()(Level level, std::string_view event, std::initializer_list<Field> fields) {
  if (!s_->out->should_log(level_of(level))) return;
  s_->out->log(level_of(level), "{}", log_line(s_->json, name_of(level), event, fields));
}

}  // namespace portolan::daemon
