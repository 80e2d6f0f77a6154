# Who may know of, and see, what the context platform resolves. It reads the document of docs/context-policy.md.
package penelope.context

default allow := false

classes := {"public", "internal", "confidential", "restricted", "pii"}

verbs := {"discover", "read"}

purposes := {"", "analysis", "support", "incident", "audit", "marketing"}

# What each role may know to be there. `restricted` is in none of them: it is for its owners.
known := {
	"admin": {"public", "internal", "confidential", "pii"},
	"analyst": {"public", "internal", "confidential", "pii"},
	"support": {"public", "internal", "confidential", "pii"},
	"service": {"public", "internal", "confidential"},
	"agent": {"public", "internal", "confidential"},
	"intern": {"public", "internal"},
}

# What becomes of columns of each class, by role; what is not named stays as it is.
masking := {
	"analyst": {"pii": "hash", "restricted": "null"},
	"support": {"pii": "partial", "restricted": "null"},
	"service": {"pii": "hash", "restricted": "null"},
	"agent": {"pii": "null", "restricted": "null"},
	"intern": {"pii": "null", "restricted": "null", "confidential": "null"},
	"admin": {"restricted": "null"},
}

# Roles that see the rows of one region, and must say which.
bound := {"support", "intern"}

# Roles that see the rows of one region where they say one.
regional := {"support", "intern", "analyst", "agent"}

allow if count(reasons) == 0

default columns := {}

columns := input.asset.columns if is_object(input.asset.columns)

owned if {
	input.subject.actor == input.asset.owner
	input.asset.owner != ""
}

# Both evaluators read `not` alike only where what it looks up is certainly there: hence the rules beside.
verb_known if verbs[input.verb]

role_known if known[input.subject.role]

purpose_known if purposes[input.subject.purpose]

class_known if classes[input.asset.classification]

reasons contains "this verb is not known" if not verb_known

reasons contains "this role is not known" if not role_known

reasons contains "this purpose is not known" if not purpose_known

reasons contains "this classification is not known" if not class_known

reasons contains "a column's classification is not known" if {
	some _, class in columns
	not classes[class]
}

reasons contains "the question is not complete" if not complete

complete if {
	is_string(input.subject.actor)
	is_string(input.subject.region)
	is_string(input.asset.name)
	is_string(input.asset.kind)
	is_string(input.asset.owner)
	is_object(input.asset.columns)
	input.subject.actor != ""
}

reasons contains "what is restricted is for its owner" if {
	input.asset.classification == "restricted"
	not owned
}

reasons contains "this role may not know of it" if {
	input.asset.classification != "restricted"
	not owned
	not known_to_role
	not named_to_role
}

known_to_role if known[input.subject.role][input.asset.classification]

# That there is such a measure, what it is called and whom to ask for it is no secret within the company: what it says is.
named_to_role if {
	input.asset.kind == "metric"
	input.asset.classification == "confidential"
	known[input.subject.role].internal
}

reasons contains "this role may know that there is such a measure, and not read it" if {
	input.verb == "read"
	not owned
	not known_to_role
	named_to_role
}

reasons contains "personal data is not for marketing" if {
	input.asset.classification == "pii"
	input.subject.purpose == "marketing"
}

# Of a text about people nothing can be masked: it is seen whole, for a purpose that needs it, or not at all.
reasons contains "personal data needs a purpose: support, incident or audit" if {
	input.verb == "read"
	input.asset.classification == "pii"
	not owned
	not masked_by_column
	not defined
	not needs_people
}

# What a member of a data model is called and means is nothing about people; what it holds is masked as a column.
defined if {"metric", "dimension", "segment"}[input.asset.kind]

masked_by_column if {
	count(columns) > 0
	masking[input.subject.role].pii
}

needs_people if {
	{"admin", "support"}[input.subject.role]
	{"support", "incident", "audit"}[input.subject.purpose]
}

reasons contains "an agent or a service reads confidential data for an incident or an analysis" if {
	input.verb == "read"
	{"agent", "service"}[input.subject.role]
	{"confidential", "pii"}[input.asset.classification]
	not owned
	not needs_data
}

needs_data if {"incident", "analysis"}[input.subject.purpose]

reasons contains "this role sees one region, and has to say which" if {
	input.verb == "read"
	bound[input.subject.role]
	not owned
	input.subject.region == ""
	some name, _ in columns
	of_region(name)
}

of_region(name) if name == "region"

of_region(name) if endswith(name, ".region")

# A cube that others are joined to shows their region as a column of its own: orders.customer_region.
of_region(name) if endswith(name, "_region")

row_filters contains filter if {
	regional[input.subject.role]
	not owned
	input.subject.region != ""
	some name, _ in columns
	of_region(name)
	filter := {"member": name, "operator": "equals", "values": [input.subject.region]}
}

masks[name] := mask if {
	not owned
	input.subject.purpose != "marketing"
	some name, class in columns
	mask := masking[input.subject.role][class]
}

# What an agent or a service reads of confidential data without an incident or an analysis is nothing.
masks[name] := "null" if {
	not owned
	{"agent", "service"}[input.subject.role]
	not needs_data
	some name, class in columns
	class == "confidential"
}

# For marketing a person is nobody, whoever asks, be it the owner.
masks[name] := mask if {
	not owned
	input.subject.purpose == "marketing"
	some name, class in columns
	class != "pii"
	mask := masking[input.subject.role][class]
}

masks[name] := "null" if {
	input.subject.purpose == "marketing"
	some name, class in columns
	class == "pii"
}
