/* Compiles the layout as plain C11 with every warning on, and as kernel code would use it. The same file serves both
 * targets: under clang -target bpf it becomes an object with one program section, which nobody loads yet; it shows that
 * the header asks for nothing that BPF lacks (no libc, no unsupported atomics, no stack above 512 bytes). */
#ifdef __BPF__
#include "bpf/layout/wire.h"
struct xdp_md; /* only passed through */
typedef long (*load_bytes_helper)(struct xdp_md*, uint32_t, void*, uint32_t);
#define load_bytes ((load_bytes_helper)189UL) /* bpf_xdp_load_bytes, by its number */
#define PTL_COPY(context, from, to, bytes) load_bytes((context), (from), (to), (bytes))
#define PROBE __attribute__((section("xdp"), used))
#else
#define PROBE
#endif
#include "bpf/layout/accept.h"

struct probe {
  struct ptl_window window;
  struct ptl_grant row[8];
};

int probe(struct probe* state, struct ptl_slot* slot, const struct ptl_frame* frame, void* context);

/* The order of the kernel path: window, lengths, grant, slot, mark. */
PROBE int probe(struct probe* state, struct ptl_slot* slot, const struct ptl_frame* frame, void* context) {
  struct ptl_fragment fragment = {0};
  uint32_t index = 0, opening = 0;
  enum ptl_accept_result result;
  if (ptl_window_test(&state->window, frame->packet) != PTL_W_FRESH) return -1;
  if (!ptl_fragment_of(frame, PTL_FRAME_BYTES + PTL_FRAGMENT_DEFAULT, &fragment)) return -2;
  if (!ptl_grant_of(&state->row[fragment.ticket & 7], fragment.ticket, &index, &opening)) return -3;
  if (fragment.slot_class == PTL_LARGE)
    result = ptl_accept(slot, opening, PTL_LARGE_DATA, &fragment, 0, context, PTL_FRAME_BYTES);
  else
    result = ptl_accept(slot, opening, PTL_SMALL_DATA, &fragment, 0, context, PTL_FRAME_BYTES);
  if (result <= PTL_A_PRESENT) return (int)ptl_window_mark(&state->window, frame->packet);
  return (int)result;
}
