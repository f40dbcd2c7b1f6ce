local admin = user { username = "admin", groups = {"admins"} }
local dora  = user { username = "dora", groups = {"developers"}, attributes = { ["private-repo-access"] = {"Acme/Vault"} } }
local dave  = user { dora, username = "dave", attributes = {} }
local guest = user { username = "guest" }
local pub   = repo "github:acme/site"  { visibility = "public" }
local vault = repo "github:acme/vault" { visibility = "private" }
local other = repo "github:acme/other" { visibility = "private" }

grid "who opens what" {
  { "",     pub,     vault,   other   },
  { admin, "allow", "allow", "allow" },
  { dora,  "allow", "allow", "deny"  },
  { dave,  "allow", "deny",  "deny"  },
  { guest, "deny",  "deny",  "deny"  },
}

test "unknown visibility is private" {
  user = dave, repo = repo "github:acme/site" { visibility = "unknown" }, expect = "deny", reason = "no_rule",
}

test "an internal repository is not public" {
  user = dave, repo = repo "github:acme/tools" { visibility = "internal" }, expect = "deny", reason = "no_rule",
}

test "the list opens a private repository" {
  user = dora, repo = vault, expect = "allow", rule = "developers: private repositories on their list",
}

test "a pattern on the list covers an owner" {
  user = user { dave, attributes = { ["private-repo-access"] = {"acme/*"} } }, repo = other, expect = "allow",
}

test "the list alone opens nothing" {
  user = user { guest, attributes = { ["private-repo-access"] = {"acme/vault"} } }, repo = vault, expect = "deny", reason = "no_rule",
}
