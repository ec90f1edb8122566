#include "signals.hpp"

#include <algorithm>

namespace weft {

void EventLog::close(Cycle now) {
    for (Event& event : events_) {
        event.issue = std::min(event.issue, now);
        event.start = std::min(event.start, now);
        event.end = std::min(event.end, now);
    }
}

}  // namespace weft
