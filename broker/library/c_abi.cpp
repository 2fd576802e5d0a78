// The C ABI: a thin coat over portolan.hpp. No exception may leave it.
#include <new>
#include <string>
#include <vector>

#include "broker/library/portolan.h"
#include "broker/library/portolan.hpp"

namespace {

thread_local std::string g_why;

}  // namespace

struct portolan_client final : portolan::Handler {
  portolan_on_message message = nullptr;
  portolan_on_event event = nullptr;
  void* user = nullptr;
  std::unique_ptr<portolan::Client> client;
  std::string topic;                // with its zero byte, kept to spare an allocation each time
  std::vector<std::uint8_t> whole;  // a message that came in pieces

  const char* text(std::string_view view) {
    topic.assign(view);
    return topic.c_str();
  }

  void on_message(const portolan::Message& m) override {
    if (message == nullptr) return;
    const std::uint8_t* payload = m.pieces.empty() ? nullptr : m.pieces.front().data();
    if (m.pieces.size() > 1) {
      whole.clear();
      for (const auto& piece : m.pieces) whole.insert(whole.end(), piece.begin(), piece.end());
      payload = whole.data();
    }
    message(user, text(m.topic), m.publisher, m.incarnation, m.sequence, payload, m.bytes);
  }
  void tell(int kind, std::string_view t, std::uint64_t publisher, std::uint32_t incarnation, std::uint64_t first,
            std::uint64_t last, std::uint32_t code) {
    if (event != nullptr) event(user, kind, text(t), publisher, incarnation, first, last, code);
  }
  void on_gap(const portolan::Gap& g) override {
    tell(PORTOLAN_GAP, g.topic, g.publisher, g.incarnation, g.first, g.last, g.reason);
  }
  void on_up(const portolan::Session& s) override { tell(PORTOLAN_UP, "", s.broker, s.incarnation, 0, 0, 0); }
  void on_down(const portolan::Session& s) override {
    tell(PORTOLAN_DOWN, "", s.broker, s.incarnation, 0, 0, s.reason);
  }
  void on_subscribed(std::string_view filter, std::uint32_t unreachable) override {
    tell(PORTOLAN_SUBSCRIBED, filter, 0, 0, 0, 0, unreachable);
  }
  void on_accepted(const portolan::Answer& a) override { mine(PORTOLAN_ACCEPTED, a); }
  void on_received(const portolan::Answer& a) override { mine(PORTOLAN_RECEIVED, a); }
  void on_refused(const portolan::Answer& a) override { mine(PORTOLAN_REFUSED, a); }
  void on_detached(std::uint32_t reason) override { tell(PORTOLAN_DETACHED, "", 0, 0, 0, 0, reason); }
  void mine(int kind, const portolan::Answer& a) {
    tell(kind, a.topic, client->id(), client->incarnation(), a.first, a.last, static_cast<std::uint32_t>(a.refused));
  }
};

extern "C" {

portolan_client* portolan_connect_as(const char* broker, uint64_t broker_id, const char* security, uint64_t id,
                                     uint32_t incarnation, portolan_on_message on_message, portolan_on_event on_event,
                                     void* user) {
  try {
    if (broker == nullptr || security == nullptr) {
      g_why = "broker and security must be given";
      return nullptr;
    }
    if (std::string_view(security) != "plain") {
      g_why = "no security \"" + std::string(security) + "\"; valid: plain";
      return nullptr;
    }
    auto made = std::make_unique<portolan_client>();
    made->message = on_message;
    made->event = on_event;
    made->user = user;
    portolan::Options options;
    options.broker = broker;
    options.broker_id = broker_id;
    options.plain = true;
    options.id = id;
    options.incarnation = incarnation;
    portolan::ConnectError error;
    made->client = portolan::Client::connect(options, *made, error);
    if (made->client) return made.release();
    g_why = error.text;
  } catch (const std::exception& e) {
    g_why = e.what();
  }
  return nullptr;
}

portolan_client* portolan_connect(const char* broker, uint64_t broker_id, const char* security,
                                  portolan_on_message on_message, portolan_on_event on_event, void* user) {
  return portolan_connect_as(broker, broker_id, security, 0, 0, on_message, on_event, user);
}

const char* portolan_why(void) {
  return g_why.c_str();
}

int portolan_publish(portolan_client* client, const char* topic, const void* payload, size_t bytes, int lane) {
  if (topic == nullptr || (payload == nullptr && bytes > 0) || lane < 1 || lane > 3) {
    return static_cast<int>(portolan::Refused::bad_topic);
  }
  const std::span<const std::uint8_t> view(static_cast<const std::uint8_t*>(payload), bytes);
  return static_cast<int>(client->client->publish(topic, view, static_cast<portolan::Lane>(lane)).refused);
}

int portolan_subscribe(portolan_client* client, const char* filter, int replay) {
  if (filter == nullptr || replay < 0 || replay > 2) return static_cast<int>(portolan::Refused::bad_topic);
  try {
    return static_cast<int>(client->client->subscribe(filter, static_cast<portolan::Replay>(replay)));
  } catch (const std::bad_alloc&) {
    return static_cast<int>(portolan::Refused::memory_full);
  }
}

void portolan_unsubscribe(portolan_client* client, const char* filter) {
  if (filter != nullptr) client->client->unsubscribe(filter);
}
void portolan_run(portolan_client* client, uint64_t ns) {
  client->client->run_for(ns);
}
void portolan_stop(portolan_client* client) {
  client->client->stop();
}
int portolan_descriptor(const portolan_client* client) {
  return client->client->descriptor();
}
void portolan_process(portolan_client* client) {
  client->client->process();
}
int portolan_up(const portolan_client* client) {
  return client->client->up() ? 1 : 0;
}
uint64_t portolan_unreceived(const portolan_client* client) {
  return client->client->unreceived();
}
void portolan_close(portolan_client* client) {
  if (client == nullptr) return;
  client->client->leave();
  delete client;
}

}  // extern "C"
