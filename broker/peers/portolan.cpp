// Portolan itself, by its client library: publisher and subscriber as two clients in one thread.
#include "broker/library/portolan.hpp"

#include <cstring>
#include <string>

#include "broker/peers/carrier.hpp"

namespace portolan::peers {
namespace {

class Ours final : public Carrier, private Handler {
 public:
  explicit Ours(const Ends& ends) {
    Options options;
    options.plain = true;
    options.limits = "long_client";
    options.broker = ends.publish;
    options.broker_id = ends.publish_id;
    options.id = 101;
    publisher_ = open(options);
    options.broker = ends.subscribe;
    options.broker_id = ends.subscribe_id;
    options.id = 102;
    subscriber_ = open(options);
    (void)subscriber_->subscribe("bench");
  }

  bool ready() const override { return subscribed_ && publisher_->up(); }
  bool publish(std::span<const std::uint8_t> message) override {
    return static_cast<bool>(publisher_->publish("bench", message));
  }
  void flush() override { publisher_->process(); }
  std::vector<int> descriptors() const override { return {publisher_->descriptor(), subscriber_->descriptor()}; }
  void process(const Sink& sink) override {
    sink_ = &sink;
    publisher_->process();
    subscriber_->process();
    sink_ = nullptr;
  }

 private:
  std::unique_ptr<Client> open(const Options& options) {
    ConnectError error;
    auto client = Client::connect(options, *this, error);
    if (client == nullptr) give_up(error.text);
    return client;
  }
  void on_subscribed(std::string_view, std::uint32_t unreachable) override { subscribed_ = unreachable == 0; }
  void on_message(const Message& m) override {
    Stamp stamp;
    if (!m.pieces.empty() && m.pieces[0].size() >= sizeof stamp) {
      std::memcpy(&stamp, m.pieces[0].data(), sizeof stamp);
    }
    if (sink_ != nullptr) (*sink_)(stamp, m.bytes);
  }

  std::unique_ptr<Client> publisher_, subscriber_;
  const Sink* sink_ = nullptr;
  bool subscribed_ = false;
};

}  // namespace

std::unique_ptr<Carrier> make_portolan(const Ends& ends) {
  return std::make_unique<Ours>(ends);
}

}  // namespace portolan::peers
