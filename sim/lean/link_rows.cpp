#include "sim/lean/link_rows.hpp"

namespace portolan::sim {

void write_link_loads(Recorder& runner, const plan::Plan& plan, Fabric& fabric, std::uint64_t now_ns) {
  for (plan::Index l = 0; l < plan.links.size(); ++l) {
    if (plan.links[l].model == "veth") continue;
    for (const bool reverse : {false, true}) {
      const link::Load load = fabric.take_load(l, reverse, now_ns);
      if (load.packets == 0 && load.carried_bytes == 0 && load.queue_bytes_max == 0) continue;
      const std::string name = plan.links[l].name + (reverse ? "/b_to_a" : "/a_to_b");
      record::Row row;
      row.text = runner.text(name);
      row.intended_ns = static_cast<std::int64_t>(load.from_ns);
      row.sent_ns = static_cast<std::int64_t>(load.queueing_ns_max);
      row.sequence = load.packets;
      row.last = load.bytes;
      row.value = load.carried_bytes;
      row.hash = load.capacity_bytes;
      row.extra = static_cast<std::int64_t>(load.queue_bytes_max);
      runner.add(record::Kind::link_load, row);
      for (std::size_t d = 1; d < link::drop_reasons; ++d) {
        if (load.dropped[d] == 0) continue;
        record::Row drop;
        drop.text = runner.text(name + "/" + std::string(link::name(static_cast<link::Drop>(d))));
        drop.value = load.dropped[d];
        drop.last = load.dropped_bytes[d];
        runner.add(record::Kind::link_drops, drop);
      }
    }
  }
}

}  // namespace portolan::sim
