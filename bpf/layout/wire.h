/* The wire, byte for byte: frame header, record header, trailer. One C header for kernel code (BPF), engines and
 * dissectors; little-endian, naturally aligned; explained field by field in broker/wire/PROTOCOL.md. A leaf: it uses
 * nothing of ours. C11, no libc. */
#ifndef PORTOLAN_LAYOUT_WIRE_H
#define PORTOLAN_LAYOUT_WIRE_H

#ifdef __cplusplus
#include <cstddef>
#include <cstdint>
#define PTL_ASSERT static_assert
extern "C" {
#else
#ifndef __BPF__
#include <stddef.h>
#include <stdint.h>
#elif !defined(__VMLINUX_H__) /* no libc in kernel code; vmlinux.h brings these names itself */
typedef __UINT8_TYPE__ uint8_t;
typedef __UINT16_TYPE__ uint16_t;
typedef __UINT32_TYPE__ uint32_t;
typedef __UINT64_TYPE__ uint64_t;
#endif
#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif
#define PTL_ASSERT _Static_assert
#endif

#define PTL_VERSION 1

/* type: low 4 bits of the first byte; version: high 4 bits */
enum ptl_type {
  PTL_DATA = 1,
  PTL_PARITY = 2,
  PTL_ACK = 3,
  PTL_HEARTBEAT = 4,
  PTL_PROBE = 5,
  PTL_HANDSHAKE = 6,
  PTL_RESET = 7,
  PTL_CLOSE = 8
};

/* flags */
#define PTL_F_RETRANSMIT 0x01u
#define PTL_F_KEY_PHASE 0x02u
#define PTL_F_MULTIPLEXED 0x04u
#define PTL_F_LANE_SHIFT 3 /* two bits */
#define PTL_F_LANE_MASK 0x18u
#define PTL_F_CLASS_LARGE 0x20u /* slot class: 0 small (8 KiB), 1 large (64 KiB) */

enum ptl_lane { PTL_LANE_CONTROL = 0, PTL_LANE_ORDERED = 1, PTL_LANE_REALTIME = 2, PTL_LANE_BULK = 3, PTL_LANES = 4 };
enum ptl_class { PTL_SMALL = 0, PTL_LARGE = 1, PTL_CLASSES = 2 };

#define PTL_FRAME_BYTES 40
#define PTL_RECORD_BYTES 32
#define PTL_TRAILER_BYTES 16 /* the last bytes of each segment and of each payload that is no fragment */
#define PTL_TAGGED_BYTES 32  /* of the header, from its first byte: what the tag covers */
#define PTL_SEALED_HEADER_BYTES                                                         \
  24 /* and what the seal of a packet covers: all before the CRC, which covers the seal \
      */
#define PTL_SEGMENT_MAX 65536u
#define PTL_FRAGMENTS_MAX 64u
#define PTL_FRAGMENT_UNIT 64u
#define PTL_FRAGMENT_DEFAULT 1280u
#define PTL_FRAGMENT_FLOOR 1088u
#define PTL_FRAGMENT_KERNEL_MAX 4032u
#define PTL_MESSAGE_MAX (16u * 1024u * 1024u)
/* payload of one segment: its record header and trailer are counted in PTL_SEGMENT_MAX */
#define PTL_SEGMENT_PAYLOAD (PTL_SEGMENT_MAX - PTL_RECORD_BYTES - PTL_TRAILER_BYTES)

struct ptl_frame {
  uint8_t version_type; /* version << 4 | type */
  uint8_t flags;
  uint8_t fragment_unit; /* fragment size / 64 */
  uint8_t fragment_index;
  uint32_t session; /* chosen by the receiver: index (24, low) | incarnation (8, high) */
  uint64_t packet;  /* packet number, from 1, never used twice */
  uint32_t ticket;  /* 0 when multiplexed */
  uint32_t bytes;   /* of the segment, or of the multiplexed payload, record headers and trailer included */
  uint32_t crc;     /* CRC-32C of this fragment's bytes */
  uint32_t fec;
  uint64_t tag; /* SipHash-2-4 over bytes 0..31 */
};

struct ptl_record {
  uint32_t flags_length; /* flags (8, high) | message length - 1 (24, low) */
  uint32_t topic;        /* alias; on the control lane: enum ptl_control */
  uint32_t publisher;    /* alias */
  uint32_t number;       /* session message number: dense per session, direction and lane, from 1 */
  uint64_t sequence;     /* the publisher's */
  uint32_t epoch;
  uint16_t segment;
  uint16_t last_segment; /* segment count - 1 */
};

/* What a receiver needs of a session to judge tags: one key for each key phase, named by the header's flag. A phase
 * without keys (not yet begun, or over) has its bit in `known` clear, and its frames are dropped and counted. */
struct ptl_tag_keys {
  uint64_t key[2][2]; /* by PTL_F_KEY_PHASE: SipHash's k0, k1 */
  uint32_t known;     /* bit 0, bit 1 */
  uint32_t reserved;
};

PTL_ASSERT(sizeof(struct ptl_tag_keys) == 40, "tag keys");
PTL_ASSERT(sizeof(struct ptl_frame) == PTL_FRAME_BYTES, "frame header");
PTL_ASSERT(offsetof(struct ptl_frame, session) == 4, "session");
PTL_ASSERT(offsetof(struct ptl_frame, packet) == 8, "packet");
PTL_ASSERT(offsetof(struct ptl_frame, ticket) == 16, "ticket");
PTL_ASSERT(offsetof(struct ptl_frame, bytes) == 20, "bytes");
PTL_ASSERT(offsetof(struct ptl_frame, crc) == PTL_SEALED_HEADER_BYTES, "crc");
PTL_ASSERT(offsetof(struct ptl_frame, fec) == 28, "fec");
PTL_ASSERT(offsetof(struct ptl_frame, tag) == PTL_TAGGED_BYTES, "tag");
PTL_ASSERT(sizeof(struct ptl_record) == PTL_RECORD_BYTES, "record header");
PTL_ASSERT(offsetof(struct ptl_record, sequence) == 16, "sequence");
PTL_ASSERT(offsetof(struct ptl_record, segment) == 28, "segment");

/* Control lane messages (`topic` of their record header). Bodies: broker/wire/control.hpp. */
enum ptl_control {
  PTL_C_TOPIC = 1,  /* ALIAS of a topic */
  PTL_C_STREAM = 2, /* ALIAS of a (topic, publisher, incarnation), with its start cursor */
  PTL_C_INTEREST = 3,
  PTL_C_SUBSCRIBED = 4,
  PTL_C_RESUME = 5,
  PTL_C_DETACHED = 6,
  PTL_C_GONE = 7,
  PTL_C_BUSY = 8,
  PTL_C_WANT = 9,
  PTL_C_GRANT = 10,
  PTL_C_NEED = 11,
  PTL_C_ABANDON = 12,
  PTL_C_GAP = 13,
  PTL_C_ASK = 14,   /* asks the other side for its cursors, or for its interest snapshot */
  PTL_C_KEY = 15,   /* key phases of what its sender sends */
  PTL_C_DENIED = 16 /* this subscription is not permitted */
};

#ifdef __cplusplus
}
#endif
#endif
