// knip is silent when all is well; this says how much it has looked at.
export default ({ counters }) => console.log(`${counters.processed} files analysed`);
