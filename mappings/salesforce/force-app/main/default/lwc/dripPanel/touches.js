/** The thread so far: the entries that crmdrip wrote on the person's timeline. */
import { gql } from 'lightning/graphql';

export const SHOWN = 50;

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
    const said = [node.sequence.value, node.step.value && `step ${node.step.value}`, node.outcome.value];
    if (node.opens.value) {
        said.push(count(node.opens.value, 'open'));
    }
    if (node.clicks.value) {
        said.push(count(node.clicks.value, 'click'));
    }
    if (!node.IsClosed.value) {
        said.push('to do');
    }
    return said.filter(Boolean).join(' · ');
}

function count(number, word) {
    return `${number} ${word}${number === 1 ? '' : 's'}`;
}
