// `portolan records RUN --csv`: every row of every file, strings resolved.
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "results/check/output.hpp"
#include "results/record/names.hpp"

namespace portolan::check {

namespace {

std::string quoted(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

}  // namespace

Expected<void> print_csv(const RunFiles& run) {
  std::string out =
      "file,process,process_incarnation,number,kind,flags,time_ns,topic,text,publisher,incarnation,code,sequence,last,"
      "intended_ns,sent_ns,hash,value,extra\n";
  bool ok = true;
  const auto flush = [&] {
    ok = ok && std::fwrite(out.data(), 1, out.size(), stdout) == out.size();
    out.clear();
  };
  for (const RecordFile& file : run.files) {
    const std::string head =
        fmt::format("{},{},{}", quoted(file.name), quoted(file.reader.process_name()), file.incarnation());
    file.reader.for_each([&](const record::Row& r) {
      if (!ok) return;
      fmt::format_to(std::back_inserter(out), "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{:016x},{},{}\n", head,
                     r.number, name_of(static_cast<record::Kind>(r.kind)), r.flags, r.time_ns,
                     quoted(file.reader.text(r.topic)), quoted(file.reader.text(r.text)), r.publisher, r.incarnation,
                     r.code, r.sequence, r.last, r.intended_ns, r.sent_ns, r.hash, r.value, r.extra);
      if (out.size() > (1u << 20)) flush();
    });
  }
  flush();
  if (std::fflush(stdout) != 0) ok = false;
  if (!ok) return fail(Exit::cannot, "standard output", std::strerror(errno));
  return {};
}

}  // namespace portolan::check
