/** The thread so far: the entries that crmdrip wrote on the person's timeline. */
import { gql } from 'lightning/graphql';

export const SHOWN = 50;
const TO_DO = 'To do';

// Aliases keep the names in the answer even where a namespace changes those of the fields.
export const TOUCHES = gql`
    query dripTouches($person: ID) {
        uiapi {
            query {
                Task(
                    where: { WhoId: { eq: $person }, Drip_Touch_Id__c: { ne: null } }
                    orderBy: { CreatedDate: { order: DESC } }
                    first: 50
                ) {
                    edges {
                        node {
                            Id
                            Subject {
                                value
                            }
                            CreatedDate {
                                value
                            }
                            IsClosed {
                                value
                            }
                            sequence: Drip_Sequence__c {
                                value
                            }
                            step: Drip_Step__c {
                                value
                            }
                            outcome: Drip_Outcome__c {
                                value
                            }
                            opens: Drip_Opens__c {
                                value
                            }
                            clicks: Drip_Clicks__c {
                                value
                            }
                        }
                    }
                }
            }
        }
    }
`;

/** The rows of a GraphQL answer, newest first. */
export function readTouches(data) {
    return data.uiapi.query.Task.edges.map(({ node }) => ({
        id: node.Id,
        subject: node.Subject.value ?? 'Without a subject',
        at: node.CreatedDate.value,
        details: describe(node)
    }));
}

function describe(node) {
    const said = [node.sequence.value, node.step.value && `step ${node.step.value}`, outcomeOf(node)];
    if (node.opens.value) {
        said.push(count(node.opens.value, 'open'));
    }
    if (node.clicks.value) {
        said.push(count(node.clicks.value, 'click'));
    }
    return said.filter(Boolean).join(' · ');
}

/** A task that the rep has completed keeps the outcome it was made with. */
function outcomeOf(node) {
    return node.outcome.value === TO_DO && node.IsClosed.value ? 'Done' : node.outcome.value;
}

function count(number, word) {
    return `${number} ${word}${number === 1 ? '' : 's'}`;
}
