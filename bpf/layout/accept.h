/* Reassembly slots and the one accept(): how a fragment gets into a slot, on any number of CPUs, in the kernel (XDP)
 * and in user space alike, over the same memory. Design: protocol.md "Kernel reassembly". C11 without libc, compiled
 * for BPF and for C++. Callers: the XDP program, broker/session/ (the owner: opens, reads, releases), tests.
 *
 * Life of a slot: CLOSED --ptl_open--> OPEN --last fragment--> READY --ptl_retire--> CLOSED ...
 *                                      OPEN --ptl_close, barrier, ptl_reset--> CLOSED (expired)
 * Everything that an opening owns carries its number, counted up at each opening, so what a late CPU still holds of an
 * earlier opening never fits: taking a fragment is one CAS that checks the opening and sets the bit together. */
#ifndef PORTOLAN_LAYOUT_ACCEPT_H
#define PORTOLAN_LAYOUT_ACCEPT_H

#include "bpf/layout/wire.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of a segment that a slot holds, by class. Powers of two: kernel code bounds by masks. */
#define PTL_SMALL_DATA 8192u
#define PTL_LARGE_DATA 65536u
/* Behind the data, so that a masked offset plus a masked length stays inside the map value. */
#define PTL_SLOT_SLACK 4096u
#define PTL_TRIES 4 /* of each CAS; then the packet is dropped, counted and repaired */

enum ptl_state { PTL_CLOSED = 0, PTL_OPEN = 1, PTL_READY = 2 };

struct ptl_slot {
  uint64_t gate;       /* opening (32, high) | enum ptl_state */
  uint64_t claim[2];   /* opening (32, high) | bits of fragments taken: 0..31, 32..63 */
  uint64_t shape;      /* 0, or valid (63) | key phase (62) | fragment size (32..47) | segment bytes (0..31) */
  uint64_t done;       /* bytes copied */
  uint64_t first_seen; /* ns, the accepting side's clock, of the first fragment */
  uint64_t reserved[2];
  uint32_t crc[PTL_FRAGMENTS_MAX]; /* CRC-32C that each fragment's header gave; the owner checks them */
  /* Then PTL_*_DATA bytes, and PTL_SLOT_SLACK: see ptl_data(). (C++ has no flexible array.) */
};
PTL_ASSERT(sizeof(struct ptl_slot) == 320 && sizeof(struct ptl_slot) % 64 == 0, "slot header: whole cache lines");
PTL_ASSERT(offsetof(struct ptl_slot, claim) == 8 && offsetof(struct ptl_slot, shape) == 24, "slot words");
PTL_ASSERT(offsetof(struct ptl_slot, crc) == 64, "slot checksums");
PTL_ASSERT(PTL_FRAGMENT_KERNEL_MAX <= PTL_SLOT_SLACK, "a fragment fits the slack");
PTL_ASSERT(PTL_FRAGMENT_FLOOR* PTL_FRAGMENTS_MAX >= PTL_SEGMENT_MAX, "the smallest fragments still cover a segment");
PTL_ASSERT(PTL_LARGE_DATA == PTL_SEGMENT_MAX, "a large slot holds any segment");

#define PTL_SMALL_SLOT_BYTES (320u + PTL_SMALL_DATA + PTL_SLOT_SLACK)
#define PTL_LARGE_SLOT_BYTES (320u + PTL_LARGE_DATA + PTL_SLOT_SLACK)
PTL_ASSERT(PTL_SMALL_SLOT_BYTES % 64 == 0 && PTL_LARGE_SLOT_BYTES % 64 == 0, "slots stay aligned in an array");

/* One credit: this ticket may fill this opening of this slot. Entry `ticket & (R - 1)` of the session's row of R. */
struct ptl_grant {
  uint64_t slot_opening; /* slot (32, high) | opening; written second, read first */
  uint64_t ticket;       /* 0: none; written first, read second */
};

/* Packet numbers received, one of each session and direction: word[(pn >> 5) & 255] = block (32, high) | bits. */
#define PTL_WINDOW_WORDS 256u
#define PTL_WINDOW_PACKETS (PTL_WINDOW_WORDS * 32u)
#define PTL_PACKET_MAX ((1ull << 37) - 1) /* block = pn >> 5 is 32 bits; a session ends or rekeys long before */
struct ptl_window {
  uint64_t word[PTL_WINDOW_WORDS];
};

/* What accept() and the window answer. Consumed (mark the packet): TAKEN, COMPLETED, PRESENT. */
enum ptl_accept_result {
  PTL_A_TAKEN = 0,  /* copied */
  PTL_A_COMPLETED,  /* copied, and the segment is whole: the gate is READY now, by us */
  PTL_A_PRESENT,    /* the fragment was here before */
  PTL_A_BAD_LENGTH, /* lengths, sizes or index that cannot be */
  PTL_A_NO_GRANT,   /* no grant for this ticket (never given, or done and taken back) */
  PTL_A_STALE,      /* the opening is over, or the slot is closed */
  PTL_A_LIE,        /* another shape than the segment's first fragment gave */
  PTL_A_BUSY,       /* lost PTL_TRIES races */
  PTL_A_RESULTS
};
enum ptl_window_result { PTL_W_FRESH = 0, PTL_W_OLD, PTL_W_REPLAY, PTL_W_BUSY };

/* ---- atomics that clang for BPF, gcc and clang all understand ---- */
#define PTL_INLINE static inline __attribute__((always_inline, unused))
#ifdef __BPF__
/* The JITs' plain loads are ordered enough behind a value-returning CAS; each load below is followed by one, or only
 * leads to a drop. */
#define PTL_LOAD(p) (*(volatile uint64_t*)(p))
#define PTL_BARRIER_VAR(v) __asm__ volatile("" : "+r"(v))
#else
#define PTL_LOAD(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define PTL_STORE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define PTL_BARRIER_VAR(v) ((void)0)
#endif
/* The value is used wherever these stand: on arm64 a BPF atomic without its value is relaxed. */
#define PTL_CAS(p, from, to) __sync_val_compare_and_swap((p), (from), (to))

/* How bytes come from the packet. Kernel: bpf_xdp_load_bytes((struct xdp_md*)context, from, to, bytes), 0 when it
 * worked. Define it before including this header; this default reads memory. */
#ifndef PTL_COPY
#define PTL_COPY(context, from, to, bytes) \
  ((void)__builtin_memcpy((to), (const uint8_t*)(context) + (from), (bytes)), 0)
#endif

/* Where another CPU's step matters most; the race test waits here now and then. Nothing elsewhere. */
#ifndef PTL_RACE_POINT
#define PTL_RACE_POINT() ((void)0)
#endif

PTL_INLINE uint8_t* ptl_data(struct ptl_slot* slot) {
  return (uint8_t*)slot + sizeof(struct ptl_slot);
}
PTL_INLINE uint64_t ptl_word(uint32_t high, uint32_t low) {
  return ((uint64_t)high << 32) | low; /* NOLINT(clang-analyzer-core.UndefinedBinaryOperatorResult): 64 bits wide */
}
PTL_INLINE uint32_t ptl_high(uint64_t word) {
  return (uint32_t)(word >> 32);
}
PTL_INLINE uint32_t ptl_low(uint64_t word) {
  return (uint32_t)word;
}

/* ---- the replay window ---- */

/* After the tag: has this packet number been consumed? Changes nothing. */
PTL_INLINE enum ptl_window_result ptl_window_test(const struct ptl_window* window, uint64_t packet) {
  const uint64_t word = PTL_LOAD(&window->word[(packet >> 5) & (PTL_WINDOW_WORDS - 1)]);
  const uint32_t block = (uint32_t)(packet >> 5);
  if (packet == 0 || packet > PTL_PACKET_MAX || block < ptl_high(word)) return PTL_W_OLD;
  if (block == ptl_high(word) && (word >> (packet & 31) & 1)) return PTL_W_REPLAY;
  return PTL_W_FRESH;
}

/* By whoever consumes the packet, once its content is known to be present. FRESH: marked now, by us, once for all. */
PTL_INLINE enum ptl_window_result ptl_window_mark(struct ptl_window* window, uint64_t packet) {
  uint64_t* at = &window->word[(packet >> 5) & (PTL_WINDOW_WORDS - 1)];
  const uint32_t block = (uint32_t)(packet >> 5);
  const uint64_t bit = 1ull << (packet & 31);
  int i;
  if (packet == 0 || packet > PTL_PACKET_MAX) return PTL_W_OLD;
  for (i = 0; i < PTL_TRIES; ++i) {
    const uint64_t word = PTL_LOAD(at);
    uint64_t mine = ptl_word(block, (uint32_t)bit);
    if (block < ptl_high(word)) return PTL_W_OLD;
    if (block == ptl_high(word)) {
      if (word & bit) return PTL_W_REPLAY;
      mine = word | bit;
    }
    if (PTL_CAS(at, word, mine) == word) return PTL_W_FRESH;
  }
  return PTL_W_BUSY;
}

/* ---- accept ---- */

/* A DATA frame's fragment with all lengths checked: nothing after this can fail for its size. */
struct ptl_fragment {
  uint32_t ticket;
  uint32_t index;
  uint32_t offset; /* in the segment */
  uint32_t length; /* of this fragment */
  uint32_t crc;
  uint32_t slot_class;
  uint64_t shape;
};

PTL_INLINE uint64_t ptl_shape(uint32_t key_phase, uint32_t size, uint32_t bytes) {
  return (1ull << 63) | ((uint64_t)(key_phase & 1) << 62) | ((uint64_t)size << 32) | bytes;
}
PTL_INLINE uint32_t ptl_shape_bytes(uint64_t shape) {
  return (uint32_t)shape;
}
PTL_INLINE uint32_t ptl_shape_size(uint64_t shape) {
  return (uint32_t)(shape >> 32) & 0xFFFFu;
}
PTL_INLINE uint32_t ptl_shape_phase(uint64_t shape) {
  return (uint32_t)(shape >> 62) & 1u;
}

/* 1 when the frame (in host memory, `datagram_bytes` with its header) holds a fragment of a segment; else nothing is to
 * be done with it. Not for multiplexed frames. */
PTL_INLINE int ptl_fragment_of(const struct ptl_frame* frame, uint32_t datagram_bytes, struct ptl_fragment* out) {
  const uint32_t size = (uint32_t)frame->fragment_unit * PTL_FRAGMENT_UNIT;
  const uint32_t bytes = frame->bytes;
  const uint32_t large = (frame->flags & PTL_F_CLASS_LARGE) != 0;
  if ((frame->flags & PTL_F_MULTIPLEXED) || frame->ticket == 0) return 0;
  if (size < PTL_FRAGMENT_FLOOR || size > PTL_FRAGMENT_KERNEL_MAX) return 0;
  if (bytes <= PTL_RECORD_BYTES + PTL_TRAILER_BYTES || bytes > (large ? PTL_LARGE_DATA : PTL_SMALL_DATA)) return 0;
  if (frame->fragment_index >= PTL_FRAGMENTS_MAX) return 0;
  out->offset = size * frame->fragment_index;
  if (out->offset >= bytes) return 0;
  out->length = bytes - out->offset < size ? bytes - out->offset : size;
  if (datagram_bytes != PTL_FRAME_BYTES + out->length) return 0;
  out->ticket = frame->ticket;
  out->index = frame->fragment_index;
  out->crc = frame->crc;
  out->slot_class = large;
  out->shape = ptl_shape((frame->flags & PTL_F_KEY_PHASE) != 0, size, bytes);
  return 1;
}

/* 1 when `entry` is a grant for this ticket: its slot and opening. A torn pair (the old slot with the new ticket) names
 * an opening that is over: the owner retires or closes a slot before its grant entry is written again. */
PTL_INLINE int ptl_grant_of(const struct ptl_grant* entry, uint32_t ticket, uint32_t* slot, uint32_t* opening) {
  const uint64_t both = PTL_LOAD(&entry->slot_opening);
  if (PTL_LOAD(&entry->ticket) != ticket) return 0;
  *slot = ptl_high(both);
  *opening = ptl_low(both);
  return 1;
}

/* Gives a taken bit back. Never by fetch-and: the opening may be over, and the bit somebody else's. */
PTL_INLINE void ptl_give_back(uint64_t* claim, uint32_t opening, uint64_t bit) {
  int i;
  for (i = 0; i < PTL_TRIES; ++i) {
    const uint64_t word = PTL_LOAD(claim);
    if (ptl_high(word) != opening || PTL_CAS(claim, word, word & ~bit) == word) return;
  }
}

/* Puts one fragment into opening `opening` of `slot`. `slot_data` is PTL_SMALL_DATA or PTL_LARGE_DATA, a constant at
 * the call; `context` and `from` say to PTL_COPY where the fragment's bytes lie. */
PTL_INLINE enum ptl_accept_result ptl_accept(struct ptl_slot* slot, uint32_t opening, uint32_t slot_data,
                                             const struct ptl_fragment* fragment, uint64_t now_ns, void* context,
                                             uint32_t from) {
  const uint64_t bit = 1ull << (fragment->index & 31);
  uint64_t* claim = &slot->claim[(fragment->index >> 5) & 1];
  uint32_t offset = fragment->offset;
  uint32_t length = fragment->length;
  const uint64_t gate = PTL_LOAD(&slot->gate);
  uint64_t word, shape, done;
  int i;

  if (offset >= slot_data || length - 1 >= PTL_SLOT_SLACK) return PTL_A_BAD_LENGTH;
  if (ptl_high(gate) != opening || ptl_low(gate) == PTL_CLOSED) return PTL_A_STALE;

  for (i = 0; i < PTL_TRIES; ++i) {
    word = PTL_LOAD(claim);
    if (ptl_high(word) != opening) return PTL_A_STALE;
    if (word & bit) {
      shape = PTL_LOAD(&slot->shape);
      /* Only a shape that surely was this opening's makes a liar. */
      if (shape != 0 && shape != fragment->shape && ptl_high(PTL_LOAD(claim)) == opening) return PTL_A_LIE;
      return PTL_A_PRESENT;
    }
    if (ptl_low(gate) != PTL_OPEN) /* whole, and yet another fragment: of another shape, or just discarded */
      return PTL_LOAD(&slot->shape) == fragment->shape ? PTL_A_STALE : PTL_A_LIE;
    PTL_RACE_POINT();
    if (PTL_CAS(claim, word, word | bit) == word) break;
  }
  if (i == PTL_TRIES) return PTL_A_BUSY;

  /* The bit is ours: until `done` has our bytes the slot cannot be READY, nor reopened without the barrier. */
  PTL_RACE_POINT();
  shape = PTL_CAS(&slot->shape, 0, fragment->shape);
  if (shape == 0) {
    slot->first_seen = now_ns;
  } else if (shape != fragment->shape) {
    ptl_give_back(claim, opening, bit);
    return PTL_A_LIE;
  }

  /* Masks, not comparisons: the only bounds that every verifier from 6.1 on follows. They change nothing here. */
  length -= 1;
  PTL_BARRIER_VAR(offset);
  PTL_BARRIER_VAR(length);
  offset &= slot_data - 1;
  length &= PTL_SLOT_SLACK - 1;
  length += 1;
  if (PTL_COPY(context, from, ptl_data(slot) + offset, length) != 0) {
    ptl_give_back(claim, opening, bit);
    return PTL_A_BAD_LENGTH;
  }
  slot->crc[fragment->index & (PTL_FRAGMENTS_MAX - 1)] = fragment->crc;

  PTL_RACE_POINT();
  done = __sync_fetch_and_add(&slot->done, (uint64_t)length) + length;
  if (done != ptl_shape_bytes(fragment->shape)) return PTL_A_TAKEN;
  if (PTL_CAS(&slot->gate, ptl_word(opening, PTL_OPEN), ptl_word(opening, PTL_READY)) != ptl_word(opening, PTL_OPEN))
    return PTL_A_TAKEN; /* closed meanwhile */
  return PTL_A_COMPLETED;
}

/* ---- the owner's side: user space only, one thread for each slot ---- */
#ifndef __BPF__

PTL_INLINE uint32_t ptl_next_opening(uint32_t opening) {
  return opening + 1 == 0 ? 1 : opening + 1;
}
PTL_INLINE uint32_t ptl_fragments(uint32_t bytes, uint32_t size) {
  return (bytes + size - 1) / size;
}
PTL_INLINE int ptl_ready(const struct ptl_slot* slot) {
  return ptl_low(PTL_LOAD(&slot->gate)) == PTL_READY;
}
PTL_INLINE uint32_t ptl_bits(uint32_t count) {
  return count >= 32 ? 0xFFFFFFFFu : (1u << count) - 1;
}

/* CLOSED to OPEN under the next opening, which is returned (never 0): the number for the grant. */
PTL_INLINE uint32_t ptl_open(struct ptl_slot* slot) {
  const uint32_t opening = ptl_next_opening(ptl_high(PTL_LOAD(&slot->gate)));
  PTL_STORE(&slot->done, 0);
  PTL_STORE(&slot->shape, 0);
  PTL_STORE(&slot->claim[0], ptl_word(opening, 0));
  PTL_STORE(&slot->claim[1], ptl_word(opening, 0));
  PTL_STORE(&slot->gate, ptl_word(opening, PTL_OPEN));
  return opening;
}

PTL_INLINE void ptl_grant_set(struct ptl_grant* entry, uint32_t ticket, uint32_t slot, uint32_t opening) {
  PTL_STORE(&entry->ticket, ticket);
  PTL_STORE(&entry->slot_opening, ptl_word(slot, opening));
}
PTL_INLINE void ptl_grant_clear(struct ptl_grant* entry) {
  PTL_STORE(&entry->ticket, 0);
}

/* READY to CLOSED: what was read is no longer needed. 1: may be opened at once. 0: a CPU holds a fragment too many in
 * this opening (a lying peer); the slot may be opened only behind a barrier and ptl_reset. Both claims are taken by CAS
 * from exactly the segment's own bits, so a success proves that nobody is inside. */
PTL_INLINE int ptl_retire(struct ptl_slot* slot) {
  const uint64_t gate = PTL_LOAD(&slot->gate);
  const uint32_t opening = ptl_high(gate);
  const uint32_t next = ptl_next_opening(opening);
  const uint64_t shape = PTL_LOAD(&slot->shape);
  const uint32_t size = ptl_shape_size(shape);
  uint32_t count = 0;
  int alone = 1;
  int w;
  if (ptl_low(gate) == PTL_CLOSED) return 1;
  if (size != 0) count = ptl_fragments(ptl_shape_bytes(shape), size);
  for (w = 0; w < 2; ++w) {
    const uint64_t expected = ptl_word(opening, ptl_bits(count > 32 * (uint32_t)w ? count - 32 * (uint32_t)w : 0));
    if (PTL_CAS(&slot->claim[w], expected, ptl_word(next, 0)) != expected) {
      (void)__atomic_exchange_n(&slot->claim[w], ptl_word(next, 0), __ATOMIC_SEQ_CST);
      alone = 0;
    }
  }
  PTL_STORE(&slot->gate, ptl_word(next, PTL_CLOSED));
  return alone;
}

/* OPEN to CLOSED, for a slot whose sender gave up (ABANDON) or is gone. 1: closed; after a barrier over all CPUs that
 * may be inside (none when only this thread accepts) call ptl_reset. 0: it is READY, a message after all; or closed. */
PTL_INLINE int ptl_close(struct ptl_slot* slot) {
  const uint64_t gate = PTL_LOAD(&slot->gate);
  const uint32_t next = ptl_next_opening(ptl_high(gate));
  if (ptl_low(gate) != PTL_OPEN) return 0;
  if (PTL_CAS(&slot->gate, gate, ptl_word(ptl_high(gate), PTL_CLOSED)) != gate) return 0;
  (void)__atomic_exchange_n(&slot->claim[0], ptl_word(next, 0), __ATOMIC_SEQ_CST);
  (void)__atomic_exchange_n(&slot->claim[1], ptl_word(next, 0), __ATOMIC_SEQ_CST);
  return 1;
}
PTL_INLINE void ptl_reset(struct ptl_slot* slot) {
  const uint32_t opening = ptl_high(PTL_LOAD(&slot->claim[0]));
  PTL_STORE(&slot->done, 0);
  PTL_STORE(&slot->shape, 0);
  PTL_STORE(&slot->gate, ptl_word(opening, PTL_CLOSED));
}

/* READY back to OPEN without the fragments of `mask`, whose CRCs were wrong; then send NEED. All of them in one step,
 * and the claim bits last: until the last bit is free nobody can take that fragment, so no completion falls between.
 * (One by one, another CPU may complete the segment behind the first, while this thread still discards the second.) 1:
 * done. 0: not this opening's, or not READY, or nothing to discard: as it was. */
PTL_INLINE int ptl_discard_fragments(struct ptl_slot* slot, uint32_t opening, uint64_t mask) {
  const uint64_t shape = PTL_LOAD(&slot->shape);
  const uint32_t size = ptl_shape_size(shape);
  const uint32_t bytes = ptl_shape_bytes(shape);
  uint64_t length = 0;
  uint32_t i;
  if (PTL_LOAD(&slot->gate) != ptl_word(opening, PTL_READY)) return 0;
  for (i = 0; i < PTL_FRAGMENTS_MAX && i * size < bytes; ++i) {
    if (mask >> i & 1) length += bytes - i * size < size ? bytes - i * size : size;
  }
  if (length == 0) return 0;
  (void)__sync_fetch_and_sub(&slot->done, length);
  PTL_STORE(&slot->gate, ptl_word(opening, PTL_OPEN));
  PTL_RACE_POINT();
  (void)__sync_fetch_and_and(&slot->claim[0], ~(mask & 0xFFFFFFFFu));
  PTL_RACE_POINT();
  (void)__sync_fetch_and_and(&slot->claim[1], ~(mask >> 32));
  return 1;
}

/* Fragments taken in the current opening, one bit each. */
PTL_INLINE uint64_t ptl_taken(const struct ptl_slot* slot) {
  return ptl_word(ptl_low(PTL_LOAD(&slot->claim[1])), ptl_low(PTL_LOAD(&slot->claim[0])));
}

#endif /* !__BPF__ */

#ifdef __cplusplus
}
#endif
#endif
