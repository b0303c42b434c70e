// What the page for people says, whatever is put into it. How it looks and lives:
// tests/process/page_test.mjs.
#include "memod/server/page/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "memod/server/page/format.h"

namespace memod::page {
namespace {

using memo::v1::CacheInfo;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(FormatTest, CountsAreGroupedByThousands) {
  EXPECT_EQ(Count(0), "0");
  EXPECT_EQ(Count(999), "999");
  EXPECT_EQ(Count(1000), "1,000");
  EXPECT_EQ(Count(1234567), "1,234,567");
  EXPECT_EQ(Count(-123), "-123");
  EXPECT_EQ(Count(-1234), "-1,234");
  EXPECT_EQ(Count(std::numeric_limits<int64_t>::max()), "9,223,372,036,854,775,807");
}

TEST(FormatTest, BytesHaveBinaryUnits) {
  EXPECT_EQ(Bytes(0), "0 B");
  EXPECT_EQ(Bytes(1023), "1023 B");
  EXPECT_EQ(Bytes(1024), "1.0 KiB");
  EXPECT_EQ(Bytes((1 << 20) - 1), "1.0 MiB") << "never 1024.0 KiB";
  EXPECT_EQ(Bytes(std::numeric_limits<int64_t>::max()), "8.0 EiB");
}

TEST(FormatTest, SecondsHaveTheUnitOfTheirSize) {
  EXPECT_EQ(Seconds(0), "0 s");
  EXPECT_EQ(Seconds(1e-9), "&lt;1 µs");
  EXPECT_EQ(Seconds(350e-6), "350 µs");
  EXPECT_EQ(Seconds(0.9994), "999 ms");
  EXPECT_EQ(Seconds(0.9996), "1.0 s");
  EXPECT_EQ(Seconds(59.94), "59.9 s");
  EXPECT_EQ(Seconds(59.96), "1 min 0 s");
  EXPECT_EQ(Seconds(3599.6), "1 h 0 min");
  EXPECT_EQ(Seconds(86400 * 1500.5), "1,500 d 12 h");
}

TEST(FormatTest, AgesAreWholeSeconds) {
  EXPECT_EQ(Age(0.999), "&lt;1 s");
  EXPECT_EQ(Age(59.999), "59 s");
  EXPECT_EQ(Age(60), "1 min 0 s");
}

TEST(FormatTest, ShareIsRoundedNeitherToAllNorToNothing) {
  EXPECT_EQ(Share(0, 0), "–");
  EXPECT_EQ(Share(0, 7), "0.0 %");
  EXPECT_EQ(Share(2, 3), "66.7 %");
  EXPECT_EQ(Share(7, 7), "100.0 %");
  EXPECT_EQ(Share(99'999, 100'000), "&gt;99.9 %");
  EXPECT_EQ(Share(1, 100'000), "&lt;0.1 %");
}

// A page with a method and a session, all of whose texts are `text`.
std::string PageWith(const std::string& text) {
  Content content;
  content.info.add_methods()->set_method(text);
  content.info.mutable_gauges()->set_sessions(1);
  memo::v1::SessionInfo& session = *content.sessions.add_sessions();
  session.set_session_id(text);
  session.set_state_type(text);
  session.set_peer(text);
  content.sessions.set_next_page_token(text);
  return Html(content);
}

TEST(PageTest, WhatIsTextStaysText) {
  EXPECT_THAT(PageWith("<script>alert(1)</script>"), Not(HasSubstr("<script>")));
  EXPECT_THAT(PageWith("x\" onclick=\"y"), Not(HasSubstr("\" onclick")));
  EXPECT_THAT(PageWith("x' y"), Not(HasSubstr("x' y")));
  EXPECT_THAT(PageWith("a&lt;b"), AllOf(HasSubstr("a&amp;lt;b"), Not(HasSubstr("a&lt;b"))));
  EXPECT_THAT(PageWith("{{methods}}"), HasSubstr("{{methods}}"));
}

TEST(PageTest, SaysWhenThereIsNothing) {
  Content content;
  EXPECT_THAT(Html(content), AllOf(HasSubstr("No session is open."), Not(HasSubstr("{{"))));
  content.first = false;
  EXPECT_THAT(Html(content), AllOf(HasSubstr("No session is left on this page."),
                                   HasSubstr("href=\"/\">First page")));
}

TEST(PageTest, SaysHowManyOfHowManySessionsItShows) {
  Content content;
  content.info.mutable_gauges()->set_sessions(100'000);
  content.sessions.add_sessions()->set_session_id("abc");
  content.sessions.set_next_page_token("abc");
  EXPECT_THAT(Html(content), AllOf(HasSubstr("1 of 100,000 open"),
                                   HasSubstr("href=\"/?page_token=abc\">Next page")));
}

TEST(PageTest, SaysWhoSharesAState) {
  Content content;
  memo::v1::SessionInfo& session = *content.sessions.add_sessions();
  EXPECT_THAT(Html(content), HasSubstr("<td class=\"text\">–</td>"));
  session.set_state_type("a.State");
  session.set_sharing(1);
  EXPECT_THAT(Html(content), HasSubstr("</span>State</td>"));
  session.set_sharing(1234);
  EXPECT_THAT(Html(content), HasSubstr("</span>State, shared by 1,234</td>"));
}

TEST(PageTest, SaysWhatAComputationTakes) {
  Content content;
  CacheInfo& info = *content.info.add_methods()->mutable_info();
  EXPECT_THAT(Html(content), HasSubstr("<td>–</td><td>0 s</td></tr>"));
  info.set_computations(4);
  info.set_compute_seconds(6);
  EXPECT_THAT(Html(content), HasSubstr("<td>1.5 s</td><td>0 s</td></tr>"));
}

TEST(PageTest, BoundOfAMethodIsToldAsItIs) {
  Content content;
  const auto page_with = [&](auto set) {
    content.info.clear_methods();
    memo::v1::MethodCacheInfo& method = *content.info.add_methods();
    method.set_method("/a.B/C");
    set(*method.mutable_info());
    return Html(content);
  };
  EXPECT_THAT(page_with([](auto& info) { info.mutable_policy()->set_max_entries(128); }),
              HasSubstr("<td>128 each</td>"));
  EXPECT_THAT(page_with([](auto& info) { info.set_maxsize(5000); }), HasSubstr("<td>5,000</td>"));
  EXPECT_THAT(page_with([](auto&) {}), HasSubstr("<td>unbounded</td>"));
}

}  // namespace
}  // namespace memod::page
