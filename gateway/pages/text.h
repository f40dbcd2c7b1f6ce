/* text: what people read, in English, in one place: a translation is another column. What operators read (logs, configuration findings)
 * and what programs read (reason codes, header values) is not here.
 *
 * Threads: any. */
#pragma once

#define TEXT_TABLE(X)                                                                                               \
    X(TEXT_ACCESS_DENIED, "Access denied")                                                                          \
    X(TEXT_YOU_ARE, "You are logged in as ")                                                                        \
    X(TEXT_MAY_NOT_OPEN, ", and the policy does not let you open ")                                                 \
    X(TEXT_PASS_ON_TO, "If you think you should have access, pass on the decision below to ")                       \
    X(TEXT_THOSE_AT_THE_END, "those named at the end of this page.")                                                \
    X(TEXT_THE_OPERATORS, "the people who run this service.")                                                       \
    X(TEXT_LOG_IN_AGAIN, "Log in again")                                                                            \
    X(TEXT_SWITCH, "Log in as somebody else")                                                                       \
    X(TEXT_OPEN_ANOTHER, "Open another repository")                                                                 \
    X(TEXT_STATUS, "Status")                                                                                        \
    X(TEXT_REASON, "Reason")                                                                                        \
    X(TEXT_DECISION, "Decision")                                                                                    \
    X(TEXT_TRY_AGAIN, "Try again")                                                                                  \
    X(TEXT_QUESTIONS, "Questions? ")                                                                                \
    X(TEXT_ACCOUNT, "Account")                                                                                      \
    X(TEXT_LOG_IN, "Log in")                                                                                        \
    X(TEXT_LOG_OUT, "Log out")                                                                                      \
    X(TEXT_LOG_OUT_HERE, "Log out here")                                                                            \
    X(TEXT_LOG_OUT_EVERYWHERE, "Log out of the identity provider too")                                              \
    X(TEXT_LOG_OUT_HERE_ONLY, "Logging out here alone lets the identity provider log you in again without asking.") \
    X(TEXT_SIGNED_OUT, "Signed out")                                                                                \
    X(TEXT_SIGNED_OUT_EVERYWHERE, "You are logged out here and of the identity provider.")                          \
    X(TEXT_SIGNED_OUT_HERE, "You are not logged in here.")                                                          \
    X(TEXT_PROVIDER_MAY_KNOW, "The identity provider may still know you, and log you in again without asking.")     \
    X(TEXT_FORGE, "Forge")                                                                                          \
    X(TEXT_OPEN_A_REPOSITORY, "Open a repository")                                                                  \
    X(TEXT_NO_REPOSITORY, "That is not a repository. Write owner/name, or paste its link.")                         \
    X(TEXT_REPOSITORY, "Repository")                                                                                \
    X(TEXT_OPEN, "Open")                                                                                            \
    X(TEXT_NOT_ALLOWED, "The policy does not allow this.")

enum text_id {
#define X(id, english) id,
    TEXT_TABLE(X)
#undef X
        TEXT_COUNT
};

const char *text(enum text_id id);
