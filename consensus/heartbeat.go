package main

import "time"

const (
	beatsTwoLeases = 5 // a leader without contact to a majority for a lease steps down; some of it is for what is late
	// Raft's own heartbeats come 1.5 to 3 beats after the last one, so only where a beat is missing.
	ownBeats = 10 * 3 / 2
)

// beat makes the leader send its heartbeats to all followers at once, as often as the lease asks for. Raft sends them to
// each by a timer of its own, ten times in a heartbeat timeout at least, which costs an idle group most of its wake-ups.
func (a *agent) beat() {
	leads := a.raft.LeaderCh()
	for leading := false; ; {
		if !leading {
			select {
			case <-a.stopping:
				return
			case leading = <-leads:
			}
			continue
		}
		period := a.period()
		if err := a.pace(ownBeats); err != nil {
			a.log.Error("the heartbeats stay as they are", "error", err)
		}
		if len(a.registry.others()) == 0 {
			period = rest
		}
		timer := time.NewTimer(period)
		select {
		case <-a.stopping:
			return
		case leading = <-leads:
		case <-timer.C:
			a.raft.VerifyLeader() // it asks each follower now; reads do not rely on the answers, see stillLeads
		}
		timer.Stop()
		if !leading {
			if err := a.pace(0); err != nil {
				a.log.Error("the heartbeat timeout stays that of a leader", "error", err)
			}
		}
	}
}

func (a *agent) period() time.Duration { return 2 * ms(min(a.LeaseMs, a.HeartbeatMs)) / beatsTwoLeases }

// pace sets raft's timeouts to so many beats, but not below those that are configured, which a follower has and which a
// transfer of the leadership needs.
func (a *agent) pace(beats int) error {
	a.tuning.Lock()
	defer a.tuning.Unlock()
	if beats > 1 && a.handing.Load() > 0 {
		return nil
	}
	conf := a.raft.ReloadableConfig()
	heartbeat := max(ms(a.HeartbeatMs), time.Duration(beats)*a.period())
	if conf.HeartbeatTimeout == heartbeat {
		return nil
	}
	conf.HeartbeatTimeout, conf.ElectionTimeout = heartbeat, max(ms(a.ElectionMs), heartbeat)
	return a.raft.ReloadConfig(conf)
}
