// A hosted class for tests, and the test's hand on what it computes.
//
//   Lab lab;                                   // before the server starts
//   lab.On("slow", [&](Computing&) -> absl::StatusOr<std::string> {
//     lab.gate("slow").Pass();
//     return "done";
//   });
//   ... a client calls Compute{key: "slow"} ...
//   EXPECT_EQ(lab.computed("slow"), 1);
//
// A key without a script is computed to "<id of the session's state>:<key>", without an instance to
// "<key>".
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "google/protobuf/empty.pb.h"
#include "memod/server/hosted_class.h"
#include "memod/tests/testing/gate.h"
#include "testing/probe.pb.h"

namespace memod {

// One computation, as its script sees it.
struct Computing {
  const std::string self;  // id of the session's state; empty without an instance
  const int instance;      // a number of its own for each instance; 0: none
  const std::string key;   // empty for Property
  const int nth;           // of the computations of this key, from 1
  CallContext* context;    // null for Other and Static, which take none
  const memo::testing::v1::ProbeRequest& request;  // as it reached the method

  // Nested calls.
  absl::StatusOr<std::string> Compute(const std::string& other_key);
  absl::StatusOr<std::string> Other(const std::string& other_key);
  absl::StatusOr<std::string> Shared(const std::string& other_key);

  // Returns once nobody waits for this computation any more. False: patience is over.
  bool AwaitCancelled() const;
};

// What the computations of this process do, and what was computed. One at a time; it outlives the
// server. Thread-safe.
class Lab {
 public:
  using Script = std::function<absl::StatusOr<std::string>(Computing&)>;
  using Opening = std::function<absl::Status()>;

  Lab();
  ~Lab();
  static Lab& Current();

  // What computing `key` does, in whichever method.
  void On(const std::string& key, Script script);
  // What making an instance of the state `id` does.
  void OnOpen(const std::string& id, Opening opening);

  // Made when first asked for. Destroyed with the lab.
  Gate& gate(const std::string& name);
  void OpenGates();

  // Computations of `key` that have begun.
  int computed(const std::string& key) const;
  // Instances of Probe and Twin that are there.
  int instances() const { return instances_; }
  // How often making an instance of the state `id` has begun, and what it was given of the metadata
  // that session.metadata captured, the last time.
  int openings(const std::string& id) const;
  Metadata opened_with(const std::string& id) const;

  // Computes, for the classes below and for who stands in for them; what is given is what Computing
  // says.
  absl::StatusOr<memo::testing::v1::ProbeResponse> Run(
      const std::string& self, int instance, const memo::testing::v1::ProbeRequest& request,
      CallContext* context);

 private:
  friend class Probe;
  absl::Status Open(const std::string& id, const Metadata& session_metadata);

  mutable std::mutex mutex_;
  std::map<std::string, Script> scripts_;
  std::map<std::string, Opening> openings_;
  std::map<std::string, std::pair<int, Metadata>> opened_;
  std::map<std::string, int> computed_;
  std::map<std::string, Gate> gates_;
  std::atomic<int> instances_{0};
  std::atomic<int> instances_made_{0};
};

// Behind memo.testing.v1.Probe.
class Probe {
 public:
  using Request = memo::testing::v1::ProbeRequest;
  using Reply = absl::StatusOr<memo::testing::v1::ProbeResponse>;

  static absl::StatusOr<std::unique_ptr<Probe>> Create(const memo::testing::v1::ProbeState& state,
                                                       const Metadata& session_metadata);
  explicit Probe(std::string id);
  ~Probe();

  Reply Compute(const Request& request, CallContext& context) const;
  Reply Other(const Request& request) const;
  Reply Property(const google::protobuf::Empty&, CallContext& context) const;
  static Reply Shared(const Request& request, CallContext& context);
  static Reply Static(const Request& request);

 private:
  const std::string id_;
  const int instance_;
};

// Behind memo.testing.v1.Twin. Its equal states are shared.
class Twin final : public Probe {
 public:
  using Probe::Probe;
  static absl::StatusOr<std::unique_ptr<Twin>> Create(const memo::testing::v1::TwinState& state);
  // A method of its own, since none is registered twice.
  Reply Compute(const Request& request, CallContext& context) const;
};

// How the methods of Probe are remembered.
struct ProbePolicies {
  bool share_equal_states = false;
  Policy compute{};
  Policy other{};
  Policy property{.max_entries = std::nullopt};
  Policy shared{};
  Policy static_{};
};

void RegisterProbe(Registry& registry, const ProbePolicies& policies = {});
void RegisterTwin(Registry& registry);

}  // namespace memod
