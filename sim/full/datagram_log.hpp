// What a run put on its network, for udp_baseline to send again: when, from which process to which, how many bytes.
// Native byte order; written and read on one machine, in one run of the bench. `portolan-sim --datagrams FILE`.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "scenarios/base/error.hpp"

namespace portolan::sim {

struct SentDatagram {
  std::uint64_t at_ns = 0;
  std::uint32_t from = 0, to = 0;  // processes
  std::uint32_t bytes = 0;
  std::uint32_t unused = 0;
};

class DatagramLog {
 public:
  static Expected<std::unique_ptr<DatagramLog>> create(const std::string& path) {
    std::unique_ptr<DatagramLog> log(new DatagramLog);
    log->file_.reset(std::fopen(path.c_str(), "wb"));
    if (log->file_ == nullptr) return fail(Exit::cannot, path, "cannot be written");
    return log;
  }
  static Expected<std::vector<SentDatagram>> read(const std::string& path) {
    File file(std::fopen(path.c_str(), "rb"));
    if (file == nullptr) return fail(Exit::usage, path, "cannot be read");
    std::vector<SentDatagram> out;
    SentDatagram row;
    while (std::fread(&row, sizeof row, 1, file.get()) == 1) out.push_back(row);
    return out;
  }
  void add(const SentDatagram& row) { whole_ = std::fwrite(&row, sizeof row, 1, file_.get()) == 1 && whole_; }
  bool close() { return std::fclose(file_.release()) == 0 && whole_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  using File = std::unique_ptr<std::FILE, Close>;
  File file_;
  bool whole_ = true;
};

}  // namespace portolan::sim
