// What each edge's routing table says, and when it comes to say it. With a constant convergence all edges change at
// once, as in lean fidelity; with the three parts each edge has a view of its own, so that frames may loop or end in
// nothing for a while, as they do between real routers:
//   detection    each end of the link finds out by itself (BFD, RFC 5880)
//   propagation  from there to each edge that the working links reach
//   install      from the news to the forwarding table
// A change that is over before it was detected is never told. When a link comes up its ends tell each other all they
// have missed (OSPF's database exchange, RFC 2328, section 10), and then everybody else.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "sim/lean/routes.hpp"

namespace portolan::sim {

class Underlay {
 public:
  // `converged` is called once for each `links_changed`, when its last consequence is installed.
  Underlay(const plan::Plan& plan, const std::vector<link::LinkModel>& directions,
           std::function<void(std::uint64_t)> converged);
  Hop next(plan::Index node, plan::Index to) { return tables_[node]->next(node, to); }
  std::uint64_t epoch(plan::Index node) const { return epochs_[node]; }
  void links_changed();

 private:
  struct News {
    std::uint32_t number = 0;  // of the link's changes, from 1
    bool up = true;
  };
  struct Item {
    plan::Index link;
    News news;
  };
  using Items = std::shared_ptr<const std::vector<Item>>;
  enum class Part : std::uint64_t { detection = 1, propagation, install };

  void all_at_once();
  void detected(std::uint64_t change, plan::Index end, plan::Index other, const Item& item);
  void learn(std::uint64_t change, plan::Index node, const Items& items);
  void install(plan::Index node);
  std::vector<bool> reached_from(plan::Index node) const;
  // Runs `then` after a draw of that part; `who` and the change's number tell draws apart.
  template <typename F>
  void after(Part part, std::uint64_t change, std::uint64_t link, std::uint64_t who, F then);
  void settle(std::uint64_t change);

  const plan::Plan& plan_;
  const std::vector<link::LinkModel>& directions_;
  std::function<void(std::uint64_t)> converged_;
  bool in_parts_;
  std::vector<plan::Index> links_;                             // between edges
  std::vector<News> truth_;                                    // by link
  std::vector<std::vector<News>> views_;                       // [node][link]
  std::vector<std::shared_ptr<Routes>> tables_;                // by node
  std::vector<std::uint64_t> epochs_;                          // by node
  std::map<std::vector<bool>, std::shared_ptr<Routes>> made_;  // by links that are up; since the last change
  std::map<std::uint64_t, std::uint64_t> open_;                // change: consequences still to come
  std::uint64_t epoch_ = 1;
  std::uint64_t changes_ = 0;
};

}  // namespace portolan::sim
