# Asks penelope.context many questions at once. It belongs to Penelope: an OPA server needs it beside context.rego.
package penelope.context_batch

decisions[index] := answer if {
	some index, question in input.questions
	answer := decision with input as question
}

decision := {"allow": allow, "row_filters": row_filters, "masks": masks, "reasons": reasons} if {
	allow := data.penelope.context.allow
	row_filters := data.penelope.context.row_filters
	masks := data.penelope.context.masks
	reasons := data.penelope.context.reasons
}
