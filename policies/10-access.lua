-- Who may open which repository. Reads groups, the attribute private-repo-access and the repository's visibility.
-- Denies everyone whom no rule allows; unknown visibility counts as private.

allow "admins: everything" { groups = {"admins"} }

allow "developers: public repositories" {
  groups = {"developers"},
  when = function(u, r) return r:is_public() end,
}

allow "developers: private repositories on their list" {
  groups = {"developers"},
  when = function(u, r) return u.attributes:list("private-repo-access"):has_repo(r) end,
  hint = "This repository is not on your private-repo-access list.",
}
