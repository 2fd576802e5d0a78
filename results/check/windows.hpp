// What a window of the run shows beyond counts: how much of a link was used and how long its queue was, how fast
// subscribers got their bytes and how fairly, latencies then and their rise over another window. For expectations.
#pragma once

#include <optional>
#include <vector>

#include "results/check/audit.hpp"
#include "results/check/links.hpp"
#include "results/check/statistics.hpp"
#include "results/check/subscriber.hpp"

namespace portolan::check {

// By topic: what an expectation is about.
std::vector<bool> covered(const plan::Plan& plan, const plan::Expectation& e);

class Windows {
 public:
  Windows(const RunFiles& run, const std::vector<Subscriber>& subscribers, const std::vector<LinkWay>& links,
          const Audit& audit)
      : run_(run), subscribers_(subscribers), links_(links), audit_(audit) {}

  // In the unit of the expectation's limit; nothing where the run has nothing to measure it by.
  std::optional<std::int64_t> measure(const plan::Expectation& e) const;

 private:
  struct Span {
    Ns from = 0, to = 0;
    bool holds(Ns t) const { return t >= from && t < to; }
  };
  Span window(const plan::Expectation& e) const;
  struct Due {
    Index subscriber = 0, topic = 0, publisher = 0;
  };
  std::vector<Due> due(const std::vector<bool>& topics, Span span) const;
  std::optional<Ns> latency(const plan::Expectation& e, Span span, bool above) const;
  std::optional<std::int64_t> utilisation(const plan::Expectation& e) const;
  std::optional<std::int64_t> queue(const plan::Expectation& e) const;
  std::optional<std::int64_t> goodput(const plan::Expectation& e) const;
  std::optional<std::int64_t> fairness(const plan::Expectation& e) const;
  std::optional<std::int64_t> spurious() const;

  const RunFiles& run_;
  const std::vector<Subscriber>& subscribers_;
  const std::vector<LinkWay>& links_;
  const Audit& audit_;
};

}  // namespace portolan::check
