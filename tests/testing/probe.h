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
  // Instances of Probe that are there.
  int instances() const { return instances_; }

  // Computes, for Probe and for who stands in for it; what is given is what Computing says.
  absl::StatusOr<memo::testing::v1::ProbeResponse> Run(const std::string& self, int instance,
                                                       const std::string& key,
                                                       CallContext* context);

 private:
  friend class Probe;

  mutable std::mutex mutex_;
  std::map<std::string, Script> scripts_;
  std::map<std::string, Opening> openings_;
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

  static absl::StatusOr<std::unique_ptr<Probe>> Create(const memo::testing::v1::ProbeState& state);
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

// How the methods of Probe are remembered.
struct ProbePolicies {
  Policy compute{};
  Policy other{};
  Policy property{.max_entries = std::nullopt};
  Policy shared{};
  Policy static_{};
};

void RegisterProbe(Registry& registry, const ProbePolicies& policies = {});

}  // namespace memod
