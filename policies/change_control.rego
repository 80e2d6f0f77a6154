# What an organisation often agrees on for changes that a machine makes. It reads the document of docs/policy.md.
package penelope.gate.change_control

default allow := false

allow if count(reasons) == 0

reasons contains "irreversible changes are for people to make" if input.plan.tier == 4

reasons contains reason if {
	input.service.tier == 1
	some action in input.plan.actions
	action.tier >= 3
	not input.plan.canary
	reason := sprintf("%s would change a tier 1 service without a canary", [action.name])
}

reasons contains "Penelope is not sure enough of a tier 1 service" if {
	input.service.tier == 1
	input.decision.confidence < 0.6
}
