/* Portolan's client library for C, and for everything that calls C (Python's ctypes: example.py). Over portolan.hpp,
 * which explains how it runs, its promises, and who may call what when. All text is UTF-8 and ends with a zero byte;
 * pointers that a callback gets are valid within it. Link libportolan.so. */
#ifndef PORTOLAN_H
#define PORTOLAN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PORTOLAN_ABI 1
#if defined(__GNUC__)
#define PORTOLAN_API __attribute__((visibility("default")))
#else
#define PORTOLAN_API
#endif

typedef struct portolan_client portolan_client;

/* A message: `payload` in one piece. */
typedef void (*portolan_on_message)(void* user, const char* topic, uint64_t publisher, uint32_t incarnation,
                                    uint64_t sequence, const uint8_t* payload, size_t bytes);

enum portolan_event {
  PORTOLAN_UP = 0,         /* publisher: the broker's id */
  PORTOLAN_DOWN = 1,       /* code: reason; the library connects again by itself */
  PORTOLAN_SUBSCRIBED = 2, /* topic: the filter; code: harbours that cannot be reached now */
  PORTOLAN_GAP = 3,        /* first..last (all ones: nobody knows) never come; code: 1 retention, 2 detached,
                              3 publisher lost, 4 broker lost, 5 refused */
  PORTOLAN_ACCEPTED = 4,   /* of mine: the home broker holds first..last */
  PORTOLAN_RECEIVED = 5,   /* of mine: every subscriber has first..last, was told a gap, or had been detached */
  PORTOLAN_REFUSED = 6,    /* of mine; code: as of portolan_publish */
  PORTOLAN_DETACHED = 7    /* fell too far behind */
};
typedef void (*portolan_on_event)(void* user, int event, const char* topic, uint64_t publisher, uint32_t incarnation,
                                  uint64_t first, uint64_t last, uint32_t code);

/* Begins to connect to HOST:PORT, the broker with this id. security: "plain" (no keys, nothing sealed). Callbacks may
 * be null. Null, and portolan_why(), when the arguments are wrong or there is no socket. */
PORTOLAN_API portolan_client* portolan_connect(const char* broker, uint64_t broker_id, const char* security,
                                               portolan_on_message on_message, portolan_on_event on_event, void* user);
/* The same under an id of one's own (portolan_connect draws one); `incarnation` rises with each start, 0: by the clock.
 */
PORTOLAN_API portolan_client* portolan_connect_as(const char* broker, uint64_t broker_id, const char* security,
                                                  uint64_t id, uint32_t incarnation, portolan_on_message on_message,
                                                  portolan_on_event on_event, void* user);
/* Why the last portolan_connect of this thread answered null. */
PORTOLAN_API const char* portolan_why(void);

/* lane: 2 realtime, 3 bulk. 0, or why it was refused: 2 no memory, 3 too long, 4 bad topic, 5 backlog (try again in a
 * while), 6 permission, 7 later. */
PORTOLAN_API int portolan_publish(portolan_client* client, const char* topic, const void* payload, size_t bytes,
                                  int lane);
/* replay: 0 none, 1 the last of each topic, 2 all that is retained. 0, or why it was refused. */
PORTOLAN_API int portolan_subscribe(portolan_client* client, const char* filter, int replay);
PORTOLAN_API void portolan_unsubscribe(portolan_client* client, const char* filter);

/* A loop of our own: runs callbacks for so long, or until portolan_stop() is called from one. */
PORTOLAN_API void portolan_run(portolan_client* client, uint64_t ns);
PORTOLAN_API void portolan_stop(portolan_client* client);
/* A loop of yours: call portolan_process() when the descriptor can be read. */
PORTOLAN_API int portolan_descriptor(const portolan_client* client);
PORTOLAN_API void portolan_process(portolan_client* client);

PORTOLAN_API int portolan_up(const portolan_client* client);
PORTOLAN_API uint64_t portolan_unreceived(const portolan_client* client);
/* Gives up subscriptions, tells the broker (up to a tenth of a second), and frees the client. Not from a callback. */
PORTOLAN_API void portolan_close(portolan_client* client);

#ifdef __cplusplus
}
#endif
#endif
