/* text: what people read, in English, in one place: a translation is another column. What operators read (logs, configuration findings), what
 * programs read (reason codes, header values), and what stands in the audit log as well (why a request was refused unread, or which login would
 * suffice) is not here.
 *
 * Threads: any. */
#pragma once

#define TEXT_TABLE(X)                                                                                                                   \
    X(TEXT_ACCESS_DENIED, "Access denied")                                                                                              \
    X(TEXT_YOU_ARE, "You are logged in as ")                                                                                            \
    X(TEXT_MAY_NOT_OPEN, ", and the policy does not let you open ")                                                                     \
    X(TEXT_PASS_ON_TO, "If you think you should have access, pass on the decision below to ")                                           \
    X(TEXT_THOSE_AT_THE_END, "those named at the end of this page.")                                                                    \
    X(TEXT_THE_OPERATORS, "the people who run this service.")                                                                           \
    X(TEXT_LOG_IN_AGAIN, "Log in again")                                                                                                \
    X(TEXT_SWITCH, "Log in as somebody else")                                                                                           \
    X(TEXT_OPEN_ANOTHER, "Open another repository")                                                                                     \
    X(TEXT_STATUS, "Status")                                                                                                            \
    X(TEXT_REASON, "Reason")                                                                                                            \
    X(TEXT_DECISION, "Decision")                                                                                                        \
    X(TEXT_TRY_AGAIN, "Try again")                                                                                                      \
    X(TEXT_QUESTIONS, "Questions? ")                                                                                                    \
    X(TEXT_ACCOUNT, "Account")                                                                                                          \
    X(TEXT_LOG_IN, "Log in")                                                                                                            \
    X(TEXT_LOG_OUT, "Log out")                                                                                                          \
    X(TEXT_LOG_OUT_HERE, "Log out here")                                                                                                \
    X(TEXT_LOG_OUT_EVERYWHERE, "Log out of the identity provider too")                                                                  \
    X(TEXT_LOG_OUT_HERE_ONLY, "Logging out here alone lets the identity provider log you in again without asking.")                     \
    X(TEXT_SIGNED_OUT, "Signed out")                                                                                                    \
    X(TEXT_SIGNED_OUT_EVERYWHERE, "You are logged out here and of the identity provider.")                                              \
    X(TEXT_SIGNED_OUT_HERE, "You are not logged in here.")                                                                              \
    X(TEXT_PROVIDER_MAY_KNOW, "The identity provider may still know you, and log you in again without asking.")                         \
    X(TEXT_FORGE, "Forge")                                                                                                              \
    X(TEXT_OPEN_A_REPOSITORY, "Open a repository")                                                                                      \
    X(TEXT_NO_REPOSITORY, "That is not a repository. Write owner/name, or paste its link.")                                             \
    X(TEXT_REPOSITORY, "Repository")                                                                                                    \
    X(TEXT_OPEN, "Open")                                                                                                                \
    X(TEXT_NOT_ALLOWED, "The policy does not allow this.")                                                                              \
    X(TEXT_CIRCLE_END, ". Delete this site's cookies and try again; if it happens again, tell the operators.")                          \
    X(TEXT_CIRCLE_OTHER_COOKIE,                                                                                                         \
      "you are logged in, but what brought you here came without your session's cookie, or with two of that name")                      \
    X(TEXT_CIRCLE_UNREADABLE, "sessions cannot be read at the moment")                                                                  \
    X(TEXT_CIRCLE_NO_COOKIE, "your browser does not keep the cookie of your session")                                                   \
    X(TEXT_NOBODY, "Nobody is logged in")                                                                                               \
    X(TEXT_LOGIN_UNFINISHED, "This login could not be finished")                                                                        \
    X(TEXT_LOGIN_STALE,                                                                                                                 \
      "It was begun in another browser, took too long, or was used before. Close other tabs and begin again; cookies must be allowed.") \
    X(TEXT_LOGIN_IMPOSSIBLE, "Logging in is not possible at the moment")                                                                \
    X(TEXT_SESSION_NOT_STORED, "Your session could not be stored. Try again in a moment.")                                              \
    X(TEXT_LOGIN_NOT_RECORDED, "The audit log cannot be written, and nobody is let in without it.")                                     \
    X(TEXT_LOGIN_NOT_CONFIRMED, "The identity provider did not confirm it. Try again; if it happens again, tell the operators.")        \
    X(TEXT_TOO_MANY_LOGINS, "Too many logins")                                                                                          \
    X(TEXT_TOO_MANY_LOGINS_OF_ONE, "You have logged in too often within a minute. Wait a moment, then try again.")                      \
    X(TEXT_STORE_SILENT, "The session store does not answer. Try again in a moment.")                                                   \
    X(TEXT_SAID_DENIED, "You have no access to this application, or the login was cancelled.")                                          \
    X(TEXT_SAID_LOGIN, "The identity provider wants you to log in there first. Try again.")                                             \
    X(TEXT_SAID_INTERACTION, "The identity provider has a question that only you can answer. Try again.")                               \
    X(TEXT_SAID_CONSENT, "The identity provider wants your consent first. Try again.")                                                  \
    X(TEXT_SAID_ACCOUNT, "The identity provider wants you to choose an account first. Try again.")                                      \
    X(TEXT_SAID_UNMET, "The identity provider cannot log you in as strongly as is needed here.")                                        \
    X(TEXT_SAID_BUSY, "The identity provider takes no logins at the moment. Try again in a few minutes.")                               \
    X(TEXT_SAID_BROKEN, "Something went wrong at the identity provider. Try again; if it happens again, tell the operators.")           \
    X(TEXT_SAID_ELSE, "It may be that you have no access to this application, or that the login was cancelled.")                        \
    X(TEXT_SAID_TO_OPERATORS,                                                                                                           \
      "The identity provider does not understand how this gateway asks for a login. Only the operators can put that right.")            \
    X(TEXT_IT_SAID, " It said: ")                                                                                                       \
    X(TEXT_PROVIDER_REFUSED, "The identity provider refused this login")                                                                \
    X(TEXT_ECHO_TOO_LONG, "Too long for an echo")                                                                                       \
    X(TEXT_ECHO_CAP, "An echo answers addresses of up to 2048 bytes.")                                                                  \
    X(TEXT_WORKSPACE_LATE, "The workspace does not answer")                                                                             \
    X(TEXT_WORKSPACE_UNREACHABLE, "The workspace cannot be reached")                                                                    \
    X(TEXT_WORKSPACE_DOWN,                                                                                                              \
      "You are allowed in, but the workspace behind this address is not answering. It may still be starting.")                          \
    X(TEXT_REFUSED, "Refused")                                                                                                          \
    X(TEXT_OWNER_ONLY, "This workspace is open to its owner only, through the gateway.")                                                \
    X(TEXT_UNAVAILABLE, "Not available at the moment")                                                                                  \
    X(TEXT_GUARD_BLIND, "The workspace cannot tell at the moment who is asking. Try again in a moment.")                                \
    X(TEXT_REQUEST_REFUSED, "Request refused")                                                                                          \
    X(TEXT_PROGRAM_DOWN, "The program behind this address is not answering. It may still be starting.")                                 \
    X(TEXT_PROVIDER_UNREACHABLE,                                                                                                        \
      "The identity provider cannot be reached. Whoever is logged in already can go on working. Try again in a moment.")                \
    X(TEXT_NO_COOKIES, "Your browser does not keep this site's cookies, and a login needs them. Allow them, then begin again.")         \
    X(TEXT_CIRCLE_BEGIN,                                                                                                                \
      "You have logged in several times within a minute, and each time you were sent back here, so this stops now. The last reason: ")  \
    X(TEXT_CIRCLE, "Logging in does not help")                                                                                          \
    X(TEXT_CIRCLE_SHORT, "You have logged in several times within a minute.")                                                           \
    X(TEXT_LOGOUT_IMPOSSIBLE, "Logging out is not possible at the moment")                                                              \
    X(TEXT_LOGOUT_STORE_SILENT, "Sessions cannot be read at the moment, so yours was not ended. Try again in a moment.")                \
    X(TEXT_LOGOUT_HALF, "Logged out here, not yet in the store")                                                                        \
    X(TEXT_LOGOUT_HALF_WHY,                                                                                                             \
      "This gateway has forgotten your session, but could not delete it from its store. Try again in a moment.")                        \
    X(TEXT_CROSS_ORIGIN, "This request came from another site. Log out from the page itself.")                                          \
    X(TEXT_LOGIN_REQUIRED, "Login required")                                                                                            \
    X(TEXT_LOGIN_TO_OPEN, "Log in to open a repository.")                                                                               \
    X(TEXT_TOO_MANY_LOGINS_HERE,                                                                                                        \
      "Too many logins were begun from your network address within a minute. Wait a moment, then try again.")                           \
    X(TEXT_DEFECT, "Something went wrong")                                                                                              \
    X(TEXT_DEFECT_WHY, "The gateway could not finish this request. Nothing was changed; try again.")                                    \
    X(TEXT_SESSIONS_UNREADABLE, "Sessions cannot be read at the moment.")                                                               \
    X(TEXT_PROVIDER_SILENT, "The identity provider cannot be asked at the moment.")                                                     \
    X(TEXT_TOO_MANY_ATTEMPTS, "Too many attempts")                                                                                      \
    X(TEXT_TOO_MANY_ATTEMPTS_WHY, "Too many attempts to log in came from this network address. Try again in a minute.")                 \
    X(TEXT_NO_POLICY, "No access policy is in force, so nothing is allowed. The operators have been told.")                             \
    X(TEXT_NOT_RECORDED,                                                                                                                \
      "The audit log cannot be written, and nothing is allowed without a record of it. Try again in a moment.")                         \
    X(TEXT_SESSIONS_UNREADABLE_AGAIN, "Sessions cannot be read at the moment. Try again in a moment.")                                  \
    X(TEXT_PROVIDER_SILENT_AGAIN, "The identity provider cannot be asked at the moment. Try again in a moment.")                        \
    X(TEXT_GROUPS_TOO_LARGE, "Your groups do not fit into a request. Ask the operators to limit which groups are sent.")                \
    X(TEXT_OWN_PATH, "This address belongs to the gateway itself.")                                                                     \
    X(TEXT_UNTRUSTED_PEER, "The gateway does not trust the proxy in front of it. That is for the operators to mend.")                   \
    X(TEXT_URL_MISSING, "The proxy in front does not say what this request is about. That is for the operators to mend.")               \
    X(TEXT_URL_REPEATED, "What this request is about is said more than once, so it is refused.")                                        \
    X(TEXT_STRONGER_LOGIN, "Stronger login required")                                                                                   \
    X(TEXT_HOW_TO_LOG_IN, "Log in with a browser, or send a valid bearer token.")                                                       \
    X(TEXT_ADDRESS_UNCLEAR, "Address not understood")                                                                                   \
    X(TEXT_ADDRESS_UNCLEAR_WHY,                                                                                                         \
      "This address can be read in more than one way, so it is refused. Open the repository by its plain address.")                     \
    X(TEXT_TOO_MANY_UNKNOWN, "Too many requests without a login came from your network address. Wait a moment, then try again.")        \
    X(TEXT_UNDECIDED, "The gateway cannot decide at the moment. Try again in a moment.")                                                \
    X(TEXT_NOTHING, "Nothing here")                                                                                                     \
    X(TEXT_NOTHING_HOW, "Repositories are opened at /{forge}/{owner}/{repository}, for example /github/acme/site.")                     \
    X(TEXT_METHOD, "Method not allowed")                                                                                                \
    X(TEXT_METHOD_WHY, "This address does not answer that method.")

enum text_id {
#define X(id, english) id,
    TEXT_TABLE(X)
#undef X
        TEXT_COUNT
};

const char *text_of(enum text_id id);
