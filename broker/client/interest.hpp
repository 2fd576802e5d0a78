// A client's subscriptions and how its broker learns of them: deltas while a session stands; at its start (and when the
// broker ASKs) a snapshot with RESUME of every cursor inside, in bounded steps. Called by ClientEngine only.
#pragma once

#include "broker/client/cursors.hpp"

namespace portolan::broker::client {

class Interest {
 public:
  Interest(Context& context, Arena& arena);

  RefuseReason subscribe(Now now, std::string_view filter, std::uint8_t replay, Cursors& cursors);
  void unsubscribe(Now now, std::string_view filter, Cursors& cursors);
  void session_up() { sync(Phase::begin); }
  void session_down();
  void ask(std::uint32_t what);
  void subscribed(const wire::SubscribedBody& body);
  // The broker does not hold this filter: it stands here no longer either, and its place is taken until told.
  void denied(const wire::DeniedBody& body, Cursors& cursors);
  std::string_view tell_denied(std::uint32_t filter) {
    told_ = filter;
    return text(filter);
  }
  void forget_told() {
    if (told_ != kNil) filters_[told_].denied = false;
    told_ = kNil;
  }

  void tell();  // `subscribed` events, as far as the queue above has room

  Cursors::Wanted wanted(std::string_view topic) const;
  // The version at which the oldest subscription that wants this topic began.
  std::uint64_t since(std::string_view topic) const;
  // Sends the next part of a snapshot; true when more can be sent at once.
  bool sync_step(Now now, const Cursors& cursors);
  bool syncing() const { return phase_ != Phase::idle; }
  bool stands(std::uint32_t filter, std::uint64_t version) const {
    return filters_[filter].used && filters_[filter].subscribed_version == version;
  }
  std::string_view text(std::uint32_t filter) const {
    return {names_ + std::size_t{filter} * name_bytes_, filters_[filter].bytes};
  }

 private:
  enum class Phase : std::uint8_t { idle, begin, adds, cursors, end };
  struct Filter {
    bool used = false;
    bool confirmed = false;
    bool to_tell = false;
    bool denied = false;  // not used, but its text has still to be told
    bool amid = false;    // added amid a snapshot: the next one names it first
    std::uint8_t replay = 0;
    std::uint16_t bytes = 0;
    std::uint32_t unreachable = 0;
    std::uint64_t version = 0;             // at which it was added
    std::uint64_t subscribed_version = 0;  // of the newest event about it
  };
  void sync(Phase phase);
  void changed();
  void tell_change(Now now, wire::InterestOp op, std::string_view filter, std::uint8_t replay);
  std::uint32_t find(std::string_view filter) const;
  void send(Now now, wire::InterestOp op, std::string_view filter, std::uint8_t replay);

  Context& c_;
  Filter* filters_;
  char* names_;
  std::uint32_t name_bytes_;
  std::uint32_t made_ = 0;
  std::uint32_t told_ = kNil;  // the denied one whose text the application has in hand
  std::uint64_t version_ = 0;
  std::uint64_t digest_ = 0;
  std::uint64_t snapshot_version_ = 0;  // whose SUBSCRIBED confirms everything up to it; 0: none is out
  Phase phase_ = Phase::idle;
  bool whole_ = false;  // a snapshot, not only the cursors
  bool to_tell_ = false;
  bool again_ = false;  // asked once more meanwhile
  std::uint32_t at_ = 0;
};

}  // namespace portolan::broker::client
