// The user's terminal, taken over to draw in place. ANSI sequences and termios, which every
// terminal of today knows: a frame is text that is written from the top, so curses would only be in
// the way.
#pragma once

#include <string>

namespace memod {

class Screen {
 public:
  struct Size {
    size_t rows = 24;
    size_t columns = 80;
  };
  enum class Event {
    kKey,     // see key()
    kResize,  // draw again
    kReady,   // the file that was waited for is readable
    kQuit,    // 'q', Ctrl-C, SIGINT, SIGTERM, SIGHUP, or the terminal is gone
  };

  // Stdin and stdout are a terminal that can be drawn on.
  static bool IsThere();
  // Colors are wanted there (https://no-color.org).
  static bool HasColors();

  // One at a time. Keys are read at once and not echoed until it goes, which gives the terminal
  // back as it was; so does Ctrl-Z, until the program goes on.
  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  Size size() const;
  // Replaces what is shown, in one write. Lines beyond the last row, and what is beyond the last
  // column of a line, are not shown.
  void Draw(const std::string& frame);
  // Blocks until something happens; `file` is a descriptor.
  Event Wait(int file);
  // The last one pressed.
  char key() const { return key_; }

 private:
  void Enter();
  void Leave();
  // A key, or what Ctrl-Z and an ended terminal make of it.
  Event ReadKey();

  char key_ = 0;
};

}  // namespace memod
