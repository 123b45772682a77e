// Package retention says how long messages are kept. It is pure: time comes in as an argument, nothing is read or written, and nothing here
// destroys anything; package retention/disposal does that.
//
// A Schedule is a list of classes. A message belongs to one Class from the moment it is sealed, and its due Day is fixed then: the day it was
// received plus the days of the class. The two together name the key leaf its content depends on (class number, due day), so a period that is
// over is one puncture, whatever the number of messages.
//
// The invariants:
//
//   - never early: a message received at any moment of day d under a class of n days is kept for at least n times 24 hours, because its due day
//     d+n is the last day on which it is kept;
//   - never by the sender's clock: the received time is the archive's own;
//   - a class number means the same class for ever, because sealed messages name their class by it. Schedule.Follows checks this when a schedule
//     is changed;
//   - a changed period concerns messages sealed from then on.
//
// Rules, holds and a function Evaluate(now, rules, holds, headers) []Decision belong here too; a Decision will build on Class, Day and Due.
package retention
