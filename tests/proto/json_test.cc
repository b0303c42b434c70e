#include "memo/json.h"

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "memo/examples/v1/dataset.pb.h"
#include "memo/examples/v1/slow_adder.pb.h"
#include "memo/v1/admin.pb.h"
#include "memo/v1/session.pb.h"

namespace memod {
namespace {

TEST(ToJson, HasEveryFieldInItsOrderAlsoWhenNothingIsSet) {
  EXPECT_EQ(ToJson(memo::v1::CacheInfo()),
            R"({"hits":0,"misses":0,"maxsize":null,"currsize":0,"coalesced":0,"computations":0,)"
            R"("errors":0,"bytes":0,"evictions":0,"expirations":0,"too_large":0,)"
            R"("compute_seconds_saved":0.0,"policy":null,"compute_seconds":0.0})");
}

TEST(ToJson, WritesDurationsAsSecondsAndUnsetOnesAsNull) {
  memo::v1::CachePolicy policy;
  policy.set_max_entries(0);
  policy.set_max_entry_bytes(1 << 20);
  policy.mutable_compute_timeout()->set_seconds(1);
  policy.mutable_compute_timeout()->set_nanos(500000000);
  policy.set_scope("session");
  EXPECT_EQ(
      ToJson(policy),
      R"({"max_entries":0,"max_entries_total":null,"max_entry_bytes":1048576,"ttl":null,)"
      R"("compute_timeout":1.5,"coalesce":false,"scope":"session","typed":false,"cache":"","key_metadata":[],"forward":[],"key_mode":"","key_ignore":[],)"
      R"("answer_metadata":[],"negative":[],"stale_if_error":null})");
}

TEST(ToJson, Writes64BitIntegersAsExactNumbers) {
  memo::examples::v1::CalculateRequest request;
  request.add_numbers(std::numeric_limits<int64_t>::min());
  request.add_numbers(std::numeric_limits<int64_t>::max());
  EXPECT_EQ(ToJson(request), R"({"numbers":[-9223372036854775808,9223372036854775807]})");
  memo::examples::v1::FibonacciResponse response;
  response.set_value(std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(ToJson(response), R"({"value":18446744073709551615})");
}

TEST(ToJson, WritesMessagesWithinMessages) {
  memo::v1::ListSessionsResponse response;
  EXPECT_EQ(ToJson(response), R"({"sessions":[],"next_page_token":""})");
  memo::examples::v1::CorrelateResponse correlation;
  correlation.mutable_interval()->set_low(-0.25);
  EXPECT_EQ(ToJson(correlation),
            R"({"correlation":0.0,"rows":0,"interval":{"low":-0.25,"high":0.0}})");
}

TEST(ToJson, WritesMapsInTheOrderOfTheirKeysAndOnlyTheOneofMemberThatIsSet) {
  google::protobuf::Struct object;
  (*object.mutable_fields())["b"].set_bool_value(true);
  (*object.mutable_fields())["a"].set_number_value(1.5);
  EXPECT_EQ(ToJson(object),
            R"({"fields":{"a":{"null_value":null,"number_value":1.5,"string_value":null,)"
            R"("bool_value":null,"struct_value":null,"list_value":null},)"
            R"("b":{"null_value":null,"number_value":null,"string_value":null,)"
            R"("bool_value":true,"struct_value":null,"list_value":null}}})");
}

TEST(ToJson, WritesEnumsByNameAndUnknownOnesByNumber) {
  google::protobuf::Value value;
  value.set_null_value(google::protobuf::NULL_VALUE);
  EXPECT_NE(ToJson(value).find(R"("null_value":"NULL_VALUE")"), std::string::npos);
  value.set_null_value(static_cast<google::protobuf::NullValue>(7));
  EXPECT_NE(ToJson(value).find(R"("null_value":7)"), std::string::npos);
}

TEST(ToJson, WritesBytesInBase64) {
  google::protobuf::BytesValue bytes;
  bytes.set_value(std::string("\xff\x00\xfe", 3));
  EXPECT_EQ(ToJson(bytes), R"({"value":"/wD+"})");
}

TEST(ToJson, StaysValidJsonWhateverTheTextHolds) {
  google::protobuf::StringValue text;
  text.set_value("\"\\\n\x01");
  EXPECT_EQ(ToJson(text), R"({"value":"\"\\\n\u0001"})");
  text.set_value(
      "a\xff"
      "b");
  EXPECT_EQ(ToJson(text),
            "{\"value\":\"a\xef\xbf\xbd"
            "b\"}");
}

TEST(ToJson, WritesNullForWhatIsNoNumber) {
  google::protobuf::DoubleValue value;
  value.set_value(std::nan(""));
  EXPECT_EQ(ToJson(value), R"({"value":null})");
  value.set_value(std::numeric_limits<double>::infinity());
  EXPECT_EQ(ToJson(value), R"({"value":null})");
}

TEST(ToJson, IndentsWhenAsked) {
  google::protobuf::Int32Value value;
  value.set_value(-3);
  EXPECT_EQ(ToJson(value, 2), "{\n  \"value\": -3\n}");
}

}  // namespace
}  // namespace memod
