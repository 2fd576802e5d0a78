// The static keys of plain mode: made from the id alone, so anybody can make anybody's. They let two ends shake hands
// without key files and protect nothing; a host uses them only where its configuration says `security: plain`.
#pragma once

#include "broker/types.hpp"

namespace portolan::broker {

Identity plain_identity(std::uint64_t id, std::uint32_t incarnation);

}  // namespace portolan::broker
