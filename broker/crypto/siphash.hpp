// SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"): the tag that authenticates each frame header,
// and the hash of tables that strangers could fill. Pure; any thread. The kernel has its own copy of the same function.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "bpf/layout/wire.h"

namespace portolan::broker {

using SipKey = std::array<std::uint8_t, 16>;

std::uint64_t siphash(const SipKey& key, std::span<const std::uint8_t> bytes);

// The tag of a frame: over the first 32 bytes of its header. `frame` points at PTL_FRAME_BYTES bytes, any alignment.
std::uint64_t frame_tag(const SipKey& key, const std::uint8_t* frame);
bool frame_tag_is_right(const SipKey& key, const std::uint8_t* frame);
void set_frame_tag(const SipKey& key, std::uint8_t* frame);

}  // namespace portolan::broker
