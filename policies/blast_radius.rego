# Small changes only: no plan may touch many things at once.
package penelope.gate.blast_radius

default allow := false

most_actions := 12

allow if count(reasons) == 0

reasons contains reason if {
	count(input.plan.actions) > most_actions
	reason := sprintf("the plan has %d actions, of at most %d", [count(input.plan.actions), most_actions])
}

reasons contains "the last fixes of this service failed" if input.record.recent_failures >= 3
